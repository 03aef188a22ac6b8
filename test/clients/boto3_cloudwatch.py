"""Puts, lists and reads metrics through boto3, in the protocol that is named; prints the protocol that it was, or fails."""

import datetime
import os
import sys

import boto3
from botocore import loaders
from botocore.config import Config
from botocore.exceptions import ClientError

protocol = sys.argv[1]
if protocol != "default":
    # What the client speaks is chosen from what the model names: leave it no other choice.
    real = loaders.Loader.load_service_model

    def only_one(self, service_name, type_name, api_version=None):
        model = real(self, service_name, type_name, api_version)
        if service_name == "cloudwatch" and type_name == "service-2":
            model["metadata"].update(protocol=protocol, protocols=[protocol])
        return model

    loaders.Loader.load_service_model = only_one

cloudwatch = boto3.client("cloudwatch", config=Config(retries={"max_attempts": 1}))
namespace = f"Boto/{protocol}"
minute = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
dimensions = [{"Name": "Job", "Value": "a/b c&d"}]
span = {"StartTime": minute - datetime.timedelta(minutes=10), "EndTime": minute + datetime.timedelta(minutes=1)}


def fails(code, text, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert text in error.response["Error"]["Message"], error
        return
    raise AssertionError(f"{call.__name__} answered {answer}")


many = [{"MetricName": f"m{n}", "Dimensions": dimensions, "Timestamp": minute, "Values": [1, 2.5, 4], "Counts": [1, 2, 1]} for n in range(1000)]
cloudwatch.put_metric_data(
    Namespace=namespace,
    MetricData=[
        {"MetricName": "Seconds", "Dimensions": dimensions, "Timestamp": minute, "Value": 1.5, "Unit": "Seconds"},
        {"MetricName": "Seconds", "Dimensions": dimensions, "Timestamp": minute, "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 0.25, "Maximum": 4}, "Unit": "Seconds"},
        {"MetricName": "Seconds", "Dimensions": dimensions, "Timestamp": minute - datetime.timedelta(minutes=5), "Value": -7, "Unit": "Seconds"},
    ],
)
cloudwatch.put_metric_data(Namespace=namespace, MetricData=many)

statistics = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
answer = cloudwatch.get_metric_statistics(Namespace=namespace, MetricName="Seconds", Dimensions=dimensions, Period=60, Statistics=statistics, **span)
assert answer["Label"] == "Seconds", answer
old, new = answer["Datapoints"]
assert (old["Timestamp"], old["Sum"], old["SampleCount"]) == (minute - datetime.timedelta(minutes=5), -7, 1), old
assert new == {"Timestamp": minute, "SampleCount": 4, "Average": 1.875, "Sum": 7.5, "Minimum": 0.25, "Maximum": 4, "Unit": "Seconds"}, new

names = [metric["MetricName"] for page in cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace) for metric in page["Metrics"]]
assert len(names) == 1001 and len(set(names)) == 1001, len(names)
(found,) = cloudwatch.list_metrics(Namespace=namespace, MetricName="Seconds", Dimensions=[{"Name": "Job", "Value": "a/b c&d"}], RecentlyActive="PT3H")["Metrics"]
assert found["Dimensions"] == dimensions, found

queries = [
    {"Id": "seconds", "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": "Seconds", "Dimensions": dimensions}, "Period": 60, "Stat": "Sum"}},
    {"Id": "m7", "Label": "seventh", "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": "m7", "Dimensions": dimensions}, "Period": 300, "Stat": "Average", "Unit": "None"}},
    {"Id": "none", "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": "absent"}, "Period": 60, "Stat": "Sum"}},
]
pages = list(cloudwatch.get_paginator("get_metric_data").paginate(MetricDataQueries=queries, ScanBy="TimestampAscending", MaxDatapoints=1, **span))
assert len(pages) == 4, pages
values = {}
for page in pages:
    for result in page["MetricDataResults"]:
        values.setdefault(result["Id"], []).extend(zip(result["Timestamps"], result["Values"]))
assert values["seconds"] == [(minute - datetime.timedelta(minutes=5), -7), (minute, 7.5)], values
assert [value for _, value in values["m7"]] == [2.5] and values["none"] == [], values
assert pages[0]["MetricDataResults"][0]["StatusCode"] == "PartialData", pages
(newest, _) = cloudwatch.get_metric_data(MetricDataQueries=queries[:1], **span)["MetricDataResults"][0]["Values"]
assert newest == 7.5, newest

math = [{**queries[0], "ReturnData": False}, {"Id": "twice", "Expression": "seconds * 2", "Label": "doubled"}, {"Id": "sum", "Expression": "SUM(METRICS()) + twice"}]
computed = [(result["Id"], result["Label"], result["Values"]) for result in cloudwatch.get_metric_data(MetricDataQueries=math, **span)["MetricDataResults"]]
assert computed == [("twice", "doubled", [15, -14]), ("sum", "sum", [22.5, -21])], computed

# What is refused
put = cloudwatch.put_metric_data
fails("InvalidParameterValue", "The value AWS/ECR for parameter Namespace is invalid.", put, Namespace="AWS/ECR", MetricData=many[:1])
fails("MissingParameter", "MetricData.member.1.Value is required", put, Namespace=namespace, MetricData=[{"MetricName": "x"}])
fails("InvalidParameterCombination", "mutually exclusive", put, Namespace=namespace, MetricData=[{"MetricName": "x", "Value": 1, "Values": [1]}])
fails("InvalidParameterValue", "must be of the same size", put, Namespace=namespace, MetricData=[{"MetricName": "x", "Values": [1, 2], "Counts": [1]}])
fails("InvalidParameterValue", "no more than two weeks in the past", put, Namespace=namespace, MetricData=[{"MetricName": "x", "Value": 1, "Timestamp": minute - datetime.timedelta(days=15)}])
fails("InvalidParameterValue", "must be 60", put, Namespace=namespace, MetricData=[{"MetricName": "x", "Value": 1, "StorageResolution": 1}])
fails("InvalidParameterValue", "is invalid", put, Namespace=namespace, MetricData=[{"MetricName": "x", "Value": float("nan")}])
fails("ValidationError", "must not have a size greater than 1000", put, Namespace=namespace, MetricData=many + many[:1])
get = cloudwatch.get_metric_statistics
metric = {"Namespace": namespace, "MetricName": "Seconds"}
fails("InvalidParameterCombination", "exceeds the limit of 1,440", get, **metric, Period=60, Statistics=["Sum"], StartTime=minute - datetime.timedelta(days=2), EndTime=minute)
fails("InvalidParameterCombination", "StartTime must be less", get, **metric, Period=60, Statistics=["Sum"], StartTime=minute, EndTime=minute)
fails("InvalidParameterValue", "Period must be a multiple of 60", get, **metric, Period=61, Statistics=["Sum"], **span)
fails("InvalidParameterValue", "p99", get, **metric, Period=60, ExtendedStatistics=["p99"], **span)
fails("MissingParameter", "Statistics", get, **metric, Period=60, **span)
fails("ValidationError", "there is no query m1", cloudwatch.get_metric_data, MetricDataQueries=[{"Id": "e", "Expression": "m1/2"}], **span)
fails("ValidationError", "it asks for itself", cloudwatch.get_metric_data, MetricDataQueries=[{"Id": "e", "Expression": "1 + f"}, {"Id": "f", "Expression": "e"}], **span)
fails("ValidationError", "ANOMALY_DETECTION_BAND is not supported", cloudwatch.get_metric_data, MetricDataQueries=queries[:1] + [{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(seconds)"}], **span)
fails("ValidationError", "different periods", cloudwatch.get_metric_data, MetricDataQueries=queries[:2] + [{"Id": "e", "Expression": "seconds + m7"}], **span)
fails("ValidationError", "not unique", cloudwatch.get_metric_data, MetricDataQueries=queries[:1] * 2, **span)
fails("InvalidParameterValue", "not given out", cloudwatch.list_metrics, Namespace=namespace, NextToken="of-somebody-else")

# Alarms
alarm = {
    "AlarmName": f"slow {protocol}", "AlarmDescription": "too slow", "Namespace": namespace, "MetricName": "Seconds", "Dimensions": dimensions, "Statistic": "Maximum",
    "Period": 60, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 2.5, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
}
cloudwatch.put_metric_alarm(**alarm)
(described,) = cloudwatch.describe_alarms(AlarmNames=[alarm["AlarmName"]])["MetricAlarms"]
assert alarm.items() <= described.items(), described
assert described["StateValue"] == "INSUFFICIENT_DATA" and described["ActionsEnabled"], described
assert isinstance(described["Period"], int) and described["AlarmArn"].endswith(f":alarm:{alarm['AlarmName']}"), described
(same,) = cloudwatch.describe_alarms_for_metric(Namespace=namespace, MetricName="Seconds", Dimensions=dimensions)["MetricAlarms"]
assert same["AlarmName"] == alarm["AlarmName"], same
cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="ALARM", StateReason="a drill", StateReasonData='{"drill": true}')
cloudwatch.disable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
(described,) = cloudwatch.describe_alarms(AlarmNamePrefix="slow", StateValue="ALARM")["MetricAlarms"]
assert described["StateReason"] == "a drill" and not described["ActionsEnabled"], described
cloudwatch.enable_alarm_actions(AlarmNames=[alarm["AlarmName"]])
items = [item for page in cloudwatch.get_paginator("describe_alarm_history").paginate(AlarmName=alarm["AlarmName"], PaginationConfig={"PageSize": 2}) for item in page["AlarmHistoryItems"]]
assert [item["HistoryItemType"] for item in items] == ["ConfigurationUpdate", "ConfigurationUpdate", "StateUpdate", "ConfigurationUpdate"], items
fails("ResourceNotFound", "absent", cloudwatch.set_alarm_state, AlarmName="absent", StateValue="OK", StateReason="x")
fails("InvalidFormat", "not JSON", cloudwatch.set_alarm_state, AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="x", StateReasonData="x")
fails("ValidationError", "cannot be checked across more than a day", cloudwatch.put_metric_alarm, **{**alarm, "EvaluationPeriods": 1441})
fails("ValidationError", "Actions of alarms are not supported", cloudwatch.put_metric_alarm, **alarm, AlarmActions=["arn:aws:sns:us-east-1:000000000000:topic"])
fails("ResourceNotFound", "absent", cloudwatch.delete_alarms, AlarmNames=[alarm["AlarmName"], "absent"])
cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"]])
assert cloudwatch.describe_alarms(AlarmNamePrefix="slow")["MetricAlarms"] == [], protocol

print(cloudwatch.meta.service_model.resolved_protocol)
