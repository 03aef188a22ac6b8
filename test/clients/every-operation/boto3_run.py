"""Runs a scenario (JSON on standard input) with boto3, and prints a report as JSON.

Each answer is held against botocore's model: times are datetimes with a zone, required members are there, and nothing came
over the wire that the model does not have. Each refusal is the exception that the client has for it.
"""

import datetime
import json
import sys
import time
import traceback
import xml.etree.ElementTree

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from scenario import filled, member, values_at

given = json.load(sys.stdin)
saved = given["values"]
model = given["model"]
problems = []
dates = set()
config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
clients = {}


def unknown_in_json(shape, value, path):
    if shape is None:
        return [] if value in ({}, None) else [path]
    if shape.type_name == "list":
        return [found for element in value for found in unknown_in_json(shape.member, element, path + "[]")]
    if shape.type_name != "structure" or not isinstance(value, dict):
        return []
    return [
        found
        for name, inner in value.items()
        for found in (
            unknown_in_json(shape.members[name], inner, f"{path}.{name}") if name in shape.members else [f"{path}.{name}"]
        )
    ]


def unknown_in_xml(shape, element, path):
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        return [
            found
            for child in element
            for found in (unknown_in_xml(shape.member, child, path + "[]") if tag_of(child) == name else [f"{path}.{tag_of(child)}"])
        ]
    if shape.type_name != "structure":
        return []
    members = {inner.serialization.get("name", name): inner for name, inner in shape.members.items()}
    return [
        found
        for child in element
        for found in (
            unknown_in_xml(members[tag_of(child)], child, f"{path}.{tag_of(child)}")
            if tag_of(child) in members
            else [f"{path}.{tag_of(child)}"]
        )
    ]


def tag_of(element):
    return element.tag.split("}")[-1]


def look_at_wire(operation_model, response_dict, **_):
    """Before boto3 reads an answer, and drops what it does not know."""
    if response_dict["status_code"] >= 300:
        return
    shape = operation_model.output_shape
    name = operation_model.name
    if operation_model.service_model.resolved_protocol == "json":
        unknown = unknown_in_json(shape, json.loads(response_dict["body"] or b"{}"), name)
    else:
        root = xml.etree.ElementTree.fromstring(response_dict["body"])
        expected = {"ResponseMetadata"} if shape is None else {"ResponseMetadata", shape.serialization["resultWrapper"]}
        unknown = [tag_of(child) for child in root if tag_of(child) not in expected]
        for child in root:
            if shape is not None and tag_of(child) == shape.serialization["resultWrapper"]:
                unknown += unknown_in_xml(shape, child, name)
    problems.extend(f"{found}: boto3 does not know this member" for found in unknown)


def client_of(service, who):
    if (service, who) not in clients:
        keys = {}
        if who is not None:
            keys = {
                "aws_access_key_id": saved[f"{who}.id"],
                "aws_secret_access_key": saved[f"{who}.secret"],
                "aws_session_token": saved.get(f"{who}.token"),
            }
        client = boto3.client(service, config=config, **keys)
        client.meta.events.register("before-parse", look_at_wire)
        clients[(service, who)] = client
    return clients[(service, who)]


def missing(shape, value, path):
    """Required members that are not there."""
    if shape is None or value is None:
        return []
    if shape.type_name == "structure" and isinstance(value, dict):
        absent = [f"{path}.{name}" for name in shape.required_members if name not in value]
        return absent + [
            found for name, inner in shape.members.items() for found in missing(inner, value.get(name), f"{path}.{name}")
        ]
    if shape.type_name == "list":
        return [found for element in value for found in missing(shape.member, element, path + "[]")]
    return []


def check_answer(client, operation, name, answer, lacks):
    shape = client.meta.service_model.operation_model(operation).output_shape
    problems.extend(f"{found} is not there" for found in missing(shape, answer, operation) if found not in lacks)
    for path in model["dates"][name]:
        for value in values_at(answer, path):
            dates.add(f"{name} {path}")
            if not isinstance(value, datetime.datetime) or value.tzinfo is None:
                problems.append(f"{name}: {path} is {value!r}, no time")


def perform(step):
    operation, name = step["operation"], f"{step['service']}.{step['operation']}"
    client = client_of(step["service"], step.get("as"))
    said = f"{name} {json.dumps(step['input'])[:200]}"
    expected = step.get("error") or step.get("code")
    deadline = time.monotonic() + 20
    try:
        answer = getattr(client, xform_name(operation))(**filled(step["input"], saved, str.encode))
        while "until" in step and values_at(answer, step["until"]) == [] and time.monotonic() < deadline:
            time.sleep(0.2)
            answer = getattr(client, xform_name(operation))(**filled(step["input"], saved, str.encode))
    except ClientError as error:
        if expected is None:
            problems.append(f"{said}: {error}")
        elif "error" in step and not isinstance(error, getattr(client.exceptions, expected)):
            problems.append(f"{said}: {type(error).__name__} instead of {expected}: {error}")
        elif "code" in step and error.response["Error"]["Code"] != expected:
            problems.append(f"{said}: {error.response['Error']['Code']} instead of {expected}: {error}")
        elif not error.response["Error"].get("Message") or not error.response["ResponseMetadata"].get("RequestId"):
            problems.append(f"{said}: {expected} without a message or a request's id")
        return
    if expected is not None:
        problems.append(f"{said}: succeeded instead of {expected}")
        return
    check_answer(client, operation, name, answer, [f"{operation}.{path}" for path in step.get("lacks", [])])
    for key, path in step.get("save", {}).items():
        saved[key] = member(answer, path)


def walk(listing):
    operation, name = listing["operation"], f"{listing['service']}.{listing['operation']}"
    client = client_of(listing["service"], None)
    arguments = filled(listing["input"], saved, str.encode)
    paginator = client.get_paginator(xform_name(operation))
    fixed = listing.get("fixedPages")
    pages = list(paginator.paginate(PaginationConfig={} if fixed else {"PageSize": 1}, **arguments))
    if fixed:
        sizes = [len(page[model["pages"][name][0]]) for page in pages]
        if sizes[0] != fixed["size"] or sum(sizes) != fixed["items"]:
            problems.append(f"{name}: pages of {sizes}")
        return
    if len(pages) < listing.get("pages", 3):
        problems.append(f"{name}: {len(pages)} pages of one")
    whole = getattr(client, xform_name(operation))(**arguments)
    for key in model["pages"][name]:
        together = [item for page in pages for item in page.get(key, [])]
        if together != whole.get(key, []):
            problems.append(f"{name}: pages have {together}, the whole {whole.get(key)}")
    if any(sum(len(page.get(key, [])) for key in model["pages"][name]) > 1 for page in pages):
        problems.append(f"{name}: a page is too long")


def wait(waiting):
    waiter = client_of(waiting["service"], None).get_waiter(xform_name(waiting["waiter"]))
    arguments = filled(waiting["input"], saved, str.encode)
    patience = {"Delay": 0, "MaxAttempts": 2}
    waiter.wait(**arguments, WaiterConfig=patience)
    absent = {name: value.replace("client", "nobody") for name, value in arguments.items()}
    try:
        waiter.wait(**absent, WaiterConfig=patience)
        problems.append(f"{waiting['waiter']}: waited for nothing")
    except WaiterError as error:
        if waiting.get("refusal", "Max attempts exceeded") not in str(error):
            problems.append(f"{waiting['waiter']}: {error}")


for action, several in [
    (perform, given["steps"]),
    (walk, given["lists"]),
    (wait, given["waits"]),
    (perform, given["cleaning"]),
]:
    for one in several:
        try:
            action(one)
        except Exception:
            problems.append(f"{json.dumps(one)[:200]}: {traceback.format_exc()}")
json.dump({"problems": problems, "dates": sorted(dates)}, sys.stdout)
