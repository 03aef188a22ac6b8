"""Meets quotas and rates through boto3; prints "ok" at the end, or fails.

The server allows one repository more, one image in boto3/limits, and one BatchGetImage a second.
"""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

NAME = "boto3/limits"
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"

once = boto3.client("ecr", config=Config(retries={"mode": "standard", "total_max_attempts": 1}))
patient = boto3.client("ecr", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))


def put_image(seed):
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MEDIA_TYPE, "manifests": [], "annotations": {"seed": seed}})
    return once.put_image(repositoryName=NAME, imageTag=seed, imageManifest=manifest)


# Quotas have an exception of their own. (In its standard mode boto3 repeats such a call, as if time could help.)
once.create_repository(repositoryName=NAME)
try:
    once.create_repository(repositoryName="boto3/one-more")
    raise AssertionError("the registry is full")
except once.exceptions.LimitExceededException as error:
    assert "maximum allowed number of repositories" in str(error), error
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error.response
put_image("first")
try:
    put_image("second")
    raise AssertionError("the repository is full")
except once.exceptions.LimitExceededException as error:
    assert "maximum allowed number of images which is '1'" in str(error), error

# Throttling is what boto3 waits for by itself, unless it is told not to.
codes = []
for _ in range(20):
    try:
        once.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "first"}])
    except ClientError as error:
        codes.append((error.response["Error"]["Code"], error.response["Error"]["Message"]))
assert set(codes) == {("ThrottlingException", "Rate exceeded")}, codes
answers = [patient.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "first"}]) for _ in range(3)]
assert all(len(answer["images"]) == 1 for answer in answers)
assert any(answer["ResponseMetadata"]["RetryAttempts"] > 0 for answer in answers), answers

print("ok")
