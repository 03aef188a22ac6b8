"""Makes, reads and removes rules and targets through boto3; prints "ok" at the end, or fails.

The destination `hook` is there, and no rule.
"""

import json
import os

import boto3
from botocore.exceptions import ClientError

events = boto3.client("events", endpoint_url=os.environ["STOWAGE_URL"])
account = boto3.client("sts").get_caller_identity()["Account"]
place = f"arn:aws:events:{events.meta.region_name}:{account}"
hook = f"{place}:api-destination/hook"
pattern = json.dumps({"source": ["aws.ecr"], "detail": {"action-type": ["PUSH"]}})


def fails(code, text, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert text in error.response["Error"]["Message"], error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error.response
        return
    raise AssertionError(f"{call.__name__} answered {answer}")


# Rules
rule = events.put_rule(Name="pushes", EventPattern=pattern, Description="what is pushed")
assert rule["RuleArn"] == f"{place}:rule/pushes", rule
for name in ["a", "b", "c"]:
    events.put_rule(Name=name, EventPattern=pattern, State="DISABLED", EventBusName="default")
described = events.describe_rule(Name="pushes")
del described["ResponseMetadata"]
assert described == {
    "Name": "pushes",
    "Arn": rule["RuleArn"],
    "EventPattern": pattern,
    "State": "ENABLED",
    "Description": "what is pushed",
    "EventBusName": "default",
    "CreatedBy": account,
}, described
assert [each["Name"] for each in events.list_rules()["Rules"]] == ["a", "b", "c", "pushes"]
assert [each["Name"] for each in events.list_rules(NamePrefix="pu")["Rules"]] == ["pushes"]
pages = list(events.get_paginator("list_rules").paginate(PaginationConfig={"PageSize": 3}))
assert [len(page["Rules"]) for page in pages] == [3, 1], pages
events.disable_rule(Name="pushes")
assert events.describe_rule(Name="pushes")["State"] == "DISABLED"
events.enable_rule(Name="pushes", EventBusName=f"{place}:event-bus/default")
assert events.describe_rule(Name="pushes")["State"] == "ENABLED"

# What is not one, or not here
fails("InvalidEventPatternException", "Event pattern is not valid. Reason: Filter is not an object", events.put_rule, Name="x", EventPattern="[]")
fails("ValidationException", "ScheduleExpression is not served", events.put_rule, Name="x", ScheduleExpression="rate(5 minutes)")
fails("ValidationException", "EventPattern", events.put_rule, Name="x")
fails("ValidationException", "Value at 'Name' failed to satisfy constraint", events.put_rule, Name="no name", EventPattern=pattern)
fails("ResourceNotFoundException", "Event bus mine does not exist.", events.put_rule, Name="x", EventPattern=pattern, EventBusName="mine")
fails("ResourceNotFoundException", "Rule x does not exist on EventBus default.", events.describe_rule, Name="x")
fails("ResourceNotFoundException", "Rule x does not exist", events.enable_rule, Name="x")
fails("ResourceNotFoundException", "Rule x does not exist", events.put_targets, Rule="x", Targets=[{"Id": "1", "Arn": hook}])
events.delete_rule(Name="x")

# Targets
retry = {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60}
transformer = {"InputPathsMap": {"tag": "$.detail.image-tag"}, "InputTemplate": '{"text": "pushed <tag>"}'}
answer = events.put_targets(
    Rule="pushes",
    Targets=[
        {"Id": "1", "Arn": hook, "RetryPolicy": retry},
        {"Id": "2", "Arn": hook, "InputTransformer": transformer},
        {"Id": "3", "Arn": f"{place}:api-destination/none"},
        {"Id": "4", "Arn": hook.replace(account, "999999999999")},
    ],
)
assert answer["FailedEntryCount"] == 2, answer
assert [(each["TargetId"], each["ErrorCode"]) for each in answer["FailedEntries"]] == [("3", "ResourceNotFoundException"), ("4", "ResourceNotFoundException")], answer
targets = events.list_targets_by_rule(Rule="pushes")["Targets"]
standard = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}
assert targets == [
    {"Id": "1", "Arn": hook, "RetryPolicy": retry},
    {"Id": "2", "Arn": hook, "InputTransformer": transformer, "RetryPolicy": standard},
], targets
assert [page["Targets"][0]["Id"] for page in events.get_paginator("list_targets_by_rule").paginate(Rule="pushes", PaginationConfig={"PageSize": 1})] == ["1", "2"]
assert events.list_rule_names_by_target(TargetArn=hook)["RuleNames"] == ["pushes"]
for arn, text in [
    ("arn:aws:sqs:us-east-1:000000000000:x", "This kind of target is not served."),
    ("hook", "Provided Arn is not in correct format."),
]:
    fails("ValidationException", text, events.put_targets, Rule="pushes", Targets=[{"Id": "1", "Arn": arn}])
for more, text in [
    ({"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:000000000000:x"}}, "DeadLetterConfig is not served"),
    ({"HttpParameters": {"HeaderParameters": {"a": "b"}}}, "HttpParameters is not served"),
    ({"Input": "no json"}, "Input has to be JSON"),
    ({"Input": "{}", "InputPath": "$.detail"}, "Only one of"),
    ({"InputPath": "detail"}, "is not a path"),
    ({"InputTransformer": {"InputTemplate": '"<none>"'}}, "'none' is not in InputPathsMap"),
]:
    fails("ValidationException", text, events.put_targets, Rule="pushes", Targets=[{"Id": "1", "Arn": hook, **more}])
fails("LimitExceededException", "5 targets", events.put_targets, Rule="pushes", Targets=[{"Id": f"more{n}", "Arn": hook} for n in range(4)])
assert len(events.list_targets_by_rule(Rule="pushes")["Targets"]) == 2

# Patterns
event = {"id": "1", "account": account, "source": "aws.ecr", "time": "2026-01-01T00:00:00Z", "region": "x", "resources": [], "detail-type": "t", "detail": {"action-type": "PUSH"}}
assert events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"] is True
assert events.test_event_pattern(EventPattern=pattern, Event=json.dumps({**event, "source": "x"}))["Result"] is False
fails("ValidationException", "It has no 'id'.", events.test_event_pattern, EventPattern=pattern, Event="{}")

# The end
fails("ValidationException", "Rule can't be deleted since it has targets.", events.delete_rule, Name="pushes")
answer = events.remove_targets(Rule="pushes", Ids=["1", "2", "3"])
assert [each["TargetId"] for each in answer["FailedEntries"]] == ["3"], answer
for name in ["a", "b", "c", "pushes"]:
    events.delete_rule(Name=name)
assert events.list_rules()["Rules"] == []
print("ok")
