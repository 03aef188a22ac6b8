"""Uses ECR's control plane through boto3 the way administrators' scripts do; prints "ok" at the end, or fails.

Reads its endpoint, region and keys from the environment, as boto3 does by itself.
"""

import json

import boto3

ecr = boto3.client("ecr")
account = boto3.client("sts").get_caller_identity()["Account"]

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "pull", "Effect": "Allow", "Principal": {"AWS": account}, "Action": ["ecr:BatchGetImage"]}
        ],
    }
)
NAME = "boto3/settings"


def refused(error, call, **arguments):
    try:
        call(**arguments)
    except getattr(ecr.exceptions, error) as refusal:
        assert refusal.response["ResponseMetadata"]["HTTPStatusCode"] == 400, refusal.response
        return refusal.response["Error"]["Message"]
    raise AssertionError(f"{call.__name__} should have failed with {error}")


# Repository policies.
refused("RepositoryNotFoundException", ecr.get_repository_policy, repositoryName=NAME)
ecr.create_repository(repositoryName=NAME)
refused("RepositoryPolicyNotFoundException", ecr.get_repository_policy, repositoryName=NAME)
message = refused("InvalidParameterException", ecr.set_repository_policy, repositoryName=NAME, policyText="{}")
assert "Invalid repository policy provided" in message, message
ecr.set_repository_policy(repositoryName=NAME, policyText=POLICY, force=True)
found = ecr.get_repository_policy(repositoryName=NAME)
assert json.loads(found["policyText"]) == json.loads(POLICY), found
assert found["registryId"] == account, found
ecr.delete_repository_policy(repositoryName=NAME)
refused("RepositoryPolicyNotFoundException", ecr.delete_repository_policy, repositoryName=NAME)

# The registry policy.
refused("RegistryPolicyNotFoundException", ecr.get_registry_policy)
refused("InvalidParameterException", ecr.put_registry_policy, policyText="nonsense")
ecr.put_registry_policy(policyText=POLICY)
assert json.loads(ecr.get_registry_policy()["policyText"]) == json.loads(POLICY)
ecr.delete_registry_policy()
refused("RegistryPolicyNotFoundException", ecr.delete_registry_policy)

# Account settings.
assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
assert ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")["value"] == "DISABLED"
assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "DISABLED"
refused("InvalidParameterException", ecr.put_account_setting, name="BLOB_MOUNTING", value="PERHAPS")
refused("InvalidParameterException", ecr.get_account_setting, name="NO_SUCH_SETTING")

# Creation templates, in pages.
for prefix in ["boto3/a", "boto3/b", "boto3/c"]:
    made = ecr.create_repository_creation_template(prefix=prefix, appliedFor=["CREATE_ON_PUSH"], repositoryPolicy=POLICY)
    assert made["repositoryCreationTemplate"]["createdAt"].tzinfo is not None, made
refused(
    "TemplateAlreadyExistsException", ecr.create_repository_creation_template, prefix="boto3/a/", appliedFor=["REPLICATION"]
)
refused("TemplateNotFoundException", ecr.update_repository_creation_template, prefix="boto3/z")
refused("TemplateNotFoundException", ecr.delete_repository_creation_template, prefix="boto3/z")
changed = ecr.update_repository_creation_template(prefix="boto3/a", imageTagMutability="IMMUTABLE")
assert changed["repositoryCreationTemplate"]["imageTagMutability"] == "IMMUTABLE", changed
pages = ecr.get_paginator("describe_repository_creation_templates").paginate(PaginationConfig={"PageSize": 2})
listed = [template["prefix"] for page in pages for template in page["repositoryCreationTemplates"]]
assert listed == ["boto3/a", "boto3/b", "boto3/c"], listed

# A push to a repository that is not there makes it, as its template says.
ecr.initiate_layer_upload(repositoryName="boto3/a/app")
assert ecr.describe_repositories(repositoryNames=["boto3/a/app"])["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
assert json.loads(ecr.get_repository_policy(repositoryName="boto3/a/app")["policyText"]) == json.loads(POLICY)
refused("RepositoryNotFoundException", ecr.initiate_layer_upload, repositoryName="boto3/z/app")
for prefix in listed:
    ecr.delete_repository_creation_template(prefix=prefix)

# Pull time update exclusions.
principal = f"arn:aws:iam::{account}:role/scanner"
assert ecr.register_pull_time_update_exclusion(principalArn=principal)["createdAt"].tzinfo is not None
refused("ExclusionAlreadyExistsException", ecr.register_pull_time_update_exclusion, principalArn=principal)
refused("InvalidParameterException", ecr.register_pull_time_update_exclusion, principalArn="scanner")
assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [principal]
ecr.deregister_pull_time_update_exclusion(principalArn=principal)
refused("ExclusionNotFoundException", ecr.deregister_pull_time_update_exclusion, principalArn=principal)

# Scanning: the setting is kept, and nothing claims a scan.
ecr.put_image_scanning_configuration(repositoryName=NAME, imageScanningConfiguration={"scanOnPush": True})
described = ecr.describe_repositories(repositoryNames=[NAME])["repositories"][0]
assert described["imageScanningConfiguration"] == {"scanOnPush": True}, described
manifest = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
ecr.put_image(repositoryName=NAME, imageTag="v1", imageManifest=manifest)
v1 = {"imageTag": "v1"}
refused("ScanNotFoundException", ecr.describe_image_scan_findings, repositoryName=NAME, imageId=v1)
refused("ValidationException", ecr.start_image_scan, repositoryName=NAME, imageId=v1)
refused("ImageNotFoundException", ecr.describe_image_scan_findings, repositoryName=NAME, imageId={"imageTag": "v2"})

print("ok")
