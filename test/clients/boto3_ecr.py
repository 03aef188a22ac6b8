"""Uses a registry through boto3 the way release scripts do; prints "ok" at the end, or fails.

Reads its endpoint, region and keys from the environment, as boto3 does by itself.
"""

import base64
import datetime
import hashlib
import json
import urllib.error
import urllib.request

import boto3
from botocore.exceptions import ClientError

NAME = "boto3/app"
PART_BYTES = 5 * 1024 * 1024

ecr = boto3.client("ecr")
sts = boto3.client("sts")


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def upload(content):
    begun = ecr.initiate_layer_upload(repositoryName=NAME)
    for first in range(0, len(content), PART_BYTES):
        part = content[first : first + PART_BYTES]
        answer = ecr.upload_layer_part(
            repositoryName=NAME,
            uploadId=begun["uploadId"],
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
        assert answer["lastByteReceived"] == first + len(part) - 1, answer
    done = ecr.complete_layer_upload(
        repositoryName=NAME, uploadId=begun["uploadId"], layerDigests=[digest_of(content)]
    )
    assert done["layerDigest"] == digest_of(content), done


def descriptor(media_type, content):
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def put_image(tag, seed, layer):
    config = json.dumps({"os": "linux", "architecture": "amd64", "seed": seed}).encode()
    upload(config)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
        }
    )
    answer = ecr.put_image(repositoryName=NAME, imageTag=tag, imageManifest=manifest)
    assert answer["image"]["imageId"] == {
        "imageTag": tag,
        "imageDigest": digest_of(manifest.encode()),
    }, answer
    return manifest


def pages(operation, key, **arguments):
    paginator = ecr.get_paginator(operation)
    found = []
    for page in paginator.paginate(PaginationConfig={"PageSize": 2}, **arguments):
        assert len(page[key]) <= 2, page
        found += page[key]
    return found


# Who am I, and am I let in?
identity = sts.get_caller_identity()
assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:root", identity
authorization = ecr.get_authorization_token()["authorizationData"][0]
left = authorization["expiresAt"] - datetime.datetime.now(datetime.timezone.utc)
assert datetime.timedelta(hours=11) < left <= datetime.timedelta(hours=12, minutes=1), left
assert base64.b64decode(authorization["authorizationToken"]).startswith(b"AWS:")
ping = urllib.request.Request(
    authorization["proxyEndpoint"] + "/v2/",
    headers={"Authorization": "Basic " + authorization["authorizationToken"]},
)
with urllib.request.urlopen(ping) as answer:
    assert answer.status == 200

# Errors are boto3's own classes.
try:
    ecr.list_images(repositoryName=NAME)
    raise AssertionError("there is no repository yet")
except ecr.exceptions.RepositoryNotFoundException as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error.response
    assert error.response["ResponseMetadata"]["RequestId"], error.response

repository = ecr.create_repository(
    repositoryName=NAME,
    imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
    imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "latest"}],
    tags=[{"Key": "team", "Value": "platform"}],
)["repository"]
assert repository["createdAt"].tzinfo is not None
assert ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"] == [
    {"Key": "team", "Value": "platform"}
]
try:
    ecr.create_repository(repositoryName=NAME)
    raise AssertionError("the name is taken")
except ecr.exceptions.RepositoryAlreadyExistsException:
    pass

# A layer in two parts, several images that share it.
layer = hashlib.sha256(b"seed").digest() * (PART_BYTES // 32 + 100)
upload(layer)
try:
    upload(layer)
    raise AssertionError("the layer is there")
except ecr.exceptions.LayerAlreadyExistsException:
    pass
manifests = {tag: put_image(tag, tag, layer) for tag in ["v1", "v2", "v3", "latest"]}
put_image("latest", "another", layer)
try:
    put_image("v1", "another v1", layer)
    raise AssertionError("the tag is immutable")
except ecr.exceptions.ImageTagAlreadyExistsException:
    pass

# Pages, whatever their size, give everything once.
described = pages("describe_images", "imageDetails", repositoryName=NAME)
listed = pages("list_images", "imageIds", repositoryName=NAME, filter={"tagStatus": "TAGGED"})
assert len(described) == 5, described
assert sorted(image["imageTag"] for image in listed) == ["latest", "v1", "v2", "v3"], listed
assert all(image["imagePushedAt"].tzinfo is not None for image in described)
assert NAME in [found["repositoryName"] for found in pages("describe_repositories", "repositories")]

# A manifest comes back as it went in, a layer from its URL.
answer = ecr.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "v2"}, {"imageTag": "v9"}])
assert [image["imageManifest"] for image in answer["images"]] == [manifests["v2"]], answer
assert [failure["failureCode"] for failure in answer["failures"]] == ["ImageNotFound"], answer
url = ecr.get_download_url_for_layer(repositoryName=NAME, layerDigest=digest_of(layer))["downloadUrl"]
with urllib.request.urlopen(url) as answer:
    assert digest_of(answer.read()) == digest_of(layer)

# A part out of order tells where to go on.
begun = ecr.initiate_layer_upload(repositoryName=NAME)
try:
    ecr.upload_layer_part(
        repositoryName=NAME, uploadId=begun["uploadId"], partFirstByte=7, partLastByte=9, layerPartBlob=b"abc"
    )
    raise AssertionError("the part leaves a gap")
except ecr.exceptions.InvalidLayerPartException as error:
    assert error.response["uploadId"] == begun["uploadId"], error.response
    assert "lastValidByteReceived" in error.response, error.response

# Deleting.
deleted = ecr.batch_delete_image(repositoryName=NAME, imageIds=[{"imageTag": "v1"}, {"imageTag": "v9"}])
assert [image["imageTag"] for image in deleted["imageIds"]] == ["v1"], deleted
assert [failure["failureCode"] for failure in deleted["failures"]] == ["ImageNotFound"], deleted
try:
    ecr.delete_repository(repositoryName=NAME)
    raise AssertionError("there are images")
except ecr.exceptions.RepositoryNotEmptyException:
    pass
ecr.delete_repository(repositoryName=NAME, force=True)

# Wrong keys are an error of the client, not of the network.
try:
    boto3.client("ecr", aws_secret_access_key="x" * 40, aws_access_key_id="AKIA0000000000000000").describe_repositories()
    raise AssertionError("the key is unknown")
except ClientError as error:
    assert error.response["Error"]["Code"] == "UnrecognizedClientException", error.response

print("ok")
