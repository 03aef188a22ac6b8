"""Manages users and roles through boto3 the way provisioning scripts do; prints "ok" at the end, or fails.

Reads its endpoint, region and keys from the environment, as boto3 does by itself.
"""

import datetime
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

iam = boto3.client("iam")
account = boto3.client("sts").get_caller_identity()["Account"]

PULL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ecr:BatchGetImage"], "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    ],
}

# Nothing is there at first; empty lists are lists.
assert iam.list_users()["Users"] == []
assert iam.list_users()["IsTruncated"] is False
assert iam.list_groups()["Groups"] == []
assert iam.list_policies(Scope="Local")["Policies"] == []
assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{account}:root"

# A user, found by the waiter, with what scripts give it.
user = iam.create_user(UserName="ci", Path="/robots/", Tags=[{"Key": "team", "Value": "platform + co"}])["User"]
iam.get_waiter("user_exists").wait(UserName="ci", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
assert isinstance(user["CreateDate"], datetime.datetime) and user["CreateDate"].tzinfo is not None, user
assert iam.list_user_tags(UserName="ci")["Tags"] == [{"Key": "team", "Value": "platform + co"}]
policy = iam.create_policy(PolicyName="pull", PolicyDocument=json.dumps(PULL))["Policy"]
iam.get_waiter("policy_exists").wait(PolicyArn=policy["Arn"], WaiterConfig={"Delay": 1, "MaxAttempts": 2})
iam.attach_user_policy(UserName="ci", PolicyArn=policy["Arn"])
iam.put_user_policy(UserName="ci", PolicyName="inline", PolicyDocument=json.dumps(PULL, indent=2))
# boto3 decodes documents by itself: they arrive as what they say.
assert iam.get_user_policy(UserName="ci", PolicyName="inline")["PolicyDocument"] == PULL
version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]
assert version["Document"] == PULL and version["IsDefaultVersion"] is True, version
assert iam.list_attached_user_policies(UserName="ci")["AttachedPolicies"] == [
    {"PolicyName": "pull", "PolicyArn": policy["Arn"]}
]

# Keys: rotated with an overlap.
old = iam.create_access_key(UserName="ci")["AccessKey"]
new = iam.create_access_key(UserName="ci")["AccessKey"]
try:
    iam.create_access_key(UserName="ci")
    raise AssertionError("two keys are the limit")
except iam.exceptions.LimitExceededException as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409, error.response
as_user = boto3.client("sts", aws_access_key_id=new["AccessKeyId"], aws_secret_access_key=new["SecretAccessKey"])
assert as_user.get_caller_identity()["Arn"] == user["Arn"]
iam.update_access_key(UserName="ci", AccessKeyId=old["AccessKeyId"], Status="Inactive")
iam.delete_access_key(UserName="ci", AccessKeyId=old["AccessKeyId"])
keys = iam.list_access_keys(UserName="ci")["AccessKeyMetadata"]
assert [(key["AccessKeyId"], key["Status"]) for key in keys] == [(new["AccessKeyId"], "Active")], keys

# A role.
role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=json.dumps(TRUST), MaxSessionDuration=7200)["Role"]
iam.get_waiter("role_exists").wait(RoleName="deploy", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
assert role["AssumeRolePolicyDocument"] == TRUST, role
iam.attach_role_policy(RoleName="deploy", PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser")
iam.put_role_permissions_boundary(RoleName="deploy", PermissionsBoundary=policy["Arn"])
assert iam.get_role(RoleName="deploy")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy["Arn"]
assert iam.list_instance_profiles_for_role(RoleName="deploy")["InstanceProfiles"] == []

# Pages.
for number in range(5):
    iam.create_group(GroupName=f"group-{number}")
    iam.add_user_to_group(GroupName=f"group-{number}", UserName="ci")
pages = iam.get_paginator("list_groups_for_user").paginate(UserName="ci", PaginationConfig={"PageSize": 2})
sizes = [len(page["Groups"]) for page in pages]
assert sizes == [2, 2, 1], sizes
every = list(iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 3}).search("Policies[].Arn"))
assert every[0] == policy["Arn"] and "arn:aws:iam::aws:policy/AdministratorAccess" in every, every

# An identity provider.
provider = iam.create_open_id_connect_provider(Url="https://token.example.com", ClientIDList=["sts.amazonaws.com"])
described = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["OpenIDConnectProviderArn"])
assert described["ClientIDList"] == ["sts.amazonaws.com"] and described["ThumbprintList"] == [], described

# Reports.
assert iam.generate_credential_report()["State"] == "COMPLETE"
report = iam.get_credential_report()["Content"].decode()
assert report.splitlines()[2].startswith(f"ci,{user['Arn']},"), report
assert iam.get_account_summary()["SummaryMap"]["Users"] == 1

# Each failure is an exception of its own.
for exception, call in [
    (iam.exceptions.NoSuchEntityException, lambda: iam.get_user(UserName="nobody")),
    (iam.exceptions.EntityAlreadyExistsException, lambda: iam.create_user(UserName="CI")),
    (iam.exceptions.DeleteConflictException, lambda: iam.delete_user(UserName="ci")),
    (iam.exceptions.MalformedPolicyDocumentException, lambda: iam.create_policy(PolicyName="x", PolicyDocument="{}")),
    (iam.exceptions.InvalidInputException, lambda: iam.tag_user(UserName="ci", Tags=[{"Key": "aws:x", "Value": ""}])),
]:
    try:
        call()
        raise AssertionError(f"{exception.__name__} was expected")
    except exception:
        pass
unchecked = boto3.client("iam", config=Config(parameter_validation=False))
try:
    unchecked.create_user(UserName="")
    raise AssertionError("a user has a name")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationError", error.response

# Cleaning up, in the order that IAM demands.
iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider["OpenIDConnectProviderArn"])
for number in range(5):
    iam.remove_user_from_group(GroupName=f"group-{number}", UserName="ci")
    iam.delete_group(GroupName=f"group-{number}")
iam.delete_access_key(UserName="ci", AccessKeyId=new["AccessKeyId"])
iam.detach_user_policy(UserName="ci", PolicyArn=policy["Arn"])
iam.delete_user_policy(UserName="ci", PolicyName="inline")
iam.delete_user(UserName="ci")
iam.detach_role_policy(RoleName="deploy", PolicyArn="arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser")
iam.delete_role(RoleName="deploy")
iam.delete_policy(PolicyArn=policy["Arn"])
assert iam.list_users()["Users"] == [] and iam.list_roles()["Roles"] == []

print("ok")
