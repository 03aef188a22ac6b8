"""Runs a scenario (JSON on standard input) with the aws command, and prints a report as JSON.

Every call goes in by the command's own entry, with the words that a shell would give it; one process makes all of them,
since the command takes a second to start.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
import time
import traceback

import awscli.clidriver
import botocore.session
from botocore import xform_name

from scenario import filled, member, values_at

given = json.load(sys.stdin)
saved = given["values"]
model = given["model"]
problems = []
dates = set()
drivers = {}
key_names = {"id": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY", "token": "AWS_SESSION_TOKEN"}
services = {name: botocore.session.get_session().get_service_model(name) for name in ["cloudtrail", "cloudwatch", "ecr", "events", "iam", "logs", "sts"]}

# The command refuses much by itself, unless told to leave it to the server; and prints times as it gets them, unless told to read them.
settings = tempfile.NamedTemporaryFile("w", suffix=".config")
settings.write("[default]\nparameter_validation = false\ncli_timestamp_format = iso8601\n")
settings.flush()
os.environ["AWS_CONFIG_FILE"] = settings.name


@contextlib.contextmanager
def credentials(who):
    """The environment in which the command finds the credentials of `who`; None: those it was started with."""
    before = dict(os.environ)
    if who is not None:
        os.environ.update({name: saved[f"{who}.{part}"] for part, name in key_names.items() if f"{who}.{part}" in saved})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def aws(*words, who=None):
    """Exit code, standard output and error of `aws <words>`."""
    out, err = io.StringIO(), io.StringIO()
    with credentials(who), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        # A driver keeps the credentials that it found first.
        if who not in drivers:
            drivers[who] = awscli.clidriver.create_clidriver()
        code = drivers[who].main(list(words))
    return code, out.getvalue(), err.getvalue()


def words_of(call, saved_input):
    return [call["service"], xform_name(call["operation"], "-"), "--output", "json", "--cli-input-json", json.dumps(saved_input)]


def wire_code(step):
    if "code" in step:
        return step["code"]
    shape = services[step["service"]].shape_for(step["error"])
    return shape.metadata.get("error", {}).get("code", step["error"])


def perform(step, deadline=None):
    deadline = deadline or time.monotonic() + 20
    name = f"{step['service']}.{step['operation']}"
    said = f"{name} {json.dumps(step['input'])[:200]}"
    code, out, err = aws(*words_of(step, filled(step["input"], saved, str)), who=step.get("as"))
    if "error" in step or "code" in step:
        if code == 0 or f"An error occurred ({wire_code(step)}) when calling the {step['operation']} operation" not in err:
            problems.append(f"{said}: {code} {err.strip()} instead of {wire_code(step)}")
        return
    if code != 0 or err != "":
        problems.append(f"{said}: {code} {err.strip()}")
        return
    answer = json.loads(out or "{}")
    if "until" in step and values_at(answer, step["until"]) == [] and time.monotonic() < deadline:
        time.sleep(0.2)
        perform(step, deadline)
        return
    for path in model["dates"][name]:
        for value in values_at(answer, path):
            dates.add(f"{name} {path}")
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)", str(value)):
                problems.append(f"{name}: {path} is {value!r}, no time")
    for key, path in step.get("save", {}).items():
        saved[key] = member(answer, path)


def walk(listing):
    name = f"{listing['service']}.{listing['operation']}"
    words = words_of(listing, filled(listing["input"], saved, str))
    answers = []
    fixed = listing.get("fixedPages")
    if fixed:
        code, out, err = aws(*words)
        found = 0 if code != 0 else len(json.loads(out)[model["pages"][name][0]])
        if found != fixed["items"]:
            problems.append(f"{name}: {found} things, {err}")
        return
    for page_words in [[], ["--page-size", "1"]]:
        code, out, err = aws(*words, *page_words)
        if code != 0:
            problems.append(f"{name}: {err}")
            return
        answers.append(json.loads(out))
    keys = model["pages"][name]
    if len(keys) > 1:
        # The command's own tokens lose what is not in the first of several lists.
        if any(answers[0].get(key) != answers[1].get(key) for key in keys):
            problems.append(f"{name}: {answers} differ")
        return
    # By the command's own tokens, which a script hands back.
    parts, token = [], None
    while len(parts) == 0 or token is not None:
        code, out, err = aws(*words, "--max-items", "1", "--page-size", "1", *([] if token is None else ["--starting-token", token]))
        if code != 0 or len(parts) > 100:
            problems.append(f"{name}: {err}")
            return
        parts.append(json.loads(out))
        token = parts[-1].get("NextToken")
    if len(parts) < listing.get("pages", 3):
        problems.append(f"{name}: {len(parts)} parts")
    answers.append({key: [item for part in parts for item in part.get(key, [])] for key in keys})
    for key in keys:
        if not answers[0][key] == answers[1][key] == answers[2][key]:
            problems.append(f"{name}: {[answer[key] for answer in answers]} differ")


def wait(waiting):
    words = [waiting["service"], "wait", xform_name(waiting["waiter"], "-")]
    for name, value in filled(waiting["input"], saved, str).items():
        words += [f"--{xform_name(name, '-')}", value]
    code, out, err = aws(*words)
    if (code, out, err) != (0, "", ""):
        problems.append(f"{' '.join(words)}: {code} {out} {err}")


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
