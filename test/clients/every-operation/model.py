"""What botocore's model says of the operations named on standard input (`service.operation`), as JSON.

Fails with the names of operations that it does not know.
"""

import json
import sys

import botocore.session

session = botocore.session.get_session()
loader = session.get_component("data_loader")


def dates_in(shape, path, parents=()):
    """Paths of all timestamps, such as `Users[].CreateDate`."""
    if shape is None or shape.name in parents:
        return []
    if shape.type_name == "timestamp":
        return [path]
    if shape.type_name == "list":
        return dates_in(shape.member, path + "[]", (*parents, shape.name))
    if shape.type_name == "structure":
        return [
            found
            for name, member in shape.members.items()
            for found in dates_in(member, f"{path}.{name}" if path else name, (*parents, shape.name))
        ]
    return []


def of_service(service, kind):
    try:
        return loader.load_service_model(service, kind)
    except botocore.exceptions.UnknownServiceError:
        return {}


errors, dates, pages, waiters = {}, {}, {}, {}
wanted = [name.split(".") for name in json.load(sys.stdin)]
for service in sorted({service for service, _ in wanted}):
    model = session.get_service_model(service)
    served = [operation for name, operation in wanted if name == service]
    for operation in served:
        described = model.operation_model(operation)
        errors[f"{service}.{operation}"] = [shape.name for shape in described.error_shapes]
        dates[f"{service}.{operation}"] = dates_in(described.output_shape, "")
    for operation, how in of_service(service, "paginators-1").get("pagination", {}).items():
        if operation in served:
            keys = how["result_key"]
            pages[f"{service}.{operation}"] = keys if isinstance(keys, list) else [keys]
    for waiter, how in of_service(service, "waiters-2").get("waiters", {}).items():
        if how["operation"] in served:
            waiters[f"{service}.{waiter}"] = how["operation"]
json.dump({"errors": errors, "dates": dates, "pages": pages, "waiters": waiters}, sys.stdout)
