"""What runs of a scenario with boto3 and with the aws command share."""

import re


def filled(value, saved, blob):
    """An input with what was saved in place of `${name}`, and bytes as `blob` makes them."""
    if isinstance(value, str):
        return re.sub(r"\$\{([\w.]+)\}", lambda match: saved[match[1]], value)
    if isinstance(value, list):
        return [filled(element, saved, blob) for element in value]
    if isinstance(value, dict):
        if "$blob" in value:
            return blob(value["$blob"])
        if "$time" in value:
            return value["$time"]
        return {name: filled(member, saved, blob) for name, member in value.items()}
    return value


def member(answer, path):
    for name in path.split("."):
        answer = answer[name]
    return answer


def values_at(answer, path):
    """All values at a path such as `Users[].CreateDate`; none where there is no such member."""
    found = [answer]
    for name in path.split("."):
        plain = name.rstrip("[]")
        found = [value[plain] for value in found if isinstance(value, dict) and plain in value]
        for _ in range(name.count("[]")):
            found = [element for value in found for element in value]
    return found
