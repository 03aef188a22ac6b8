"""A job whose platform gives it a token: boto3 finds role, token and endpoints in the environment."""

import json
import os

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

identity = boto3.client("sts").get_caller_identity()
role = os.environ["AWS_ROLE_ARN"]
name = role.split("/")[-1]
assert identity["Arn"].startswith(f"arn:aws:sts::000000000000:assumed-role/{name}/"), identity
data = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
assert data["authorizationToken"], data

sts = boto3.client("sts", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}))
tokens = json.loads(os.environ["OTHER_TOKENS"])


def assume(token, **more):
    return sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="boto3", WebIdentityToken=token, **more)


def fails_with(error, **arguments):
    try:
        assume(**arguments)
    except error as raised:
        return raised.response["Error"]["Code"]
    raise AssertionError(f"{error} was not raised")


good = tokens["good"]
answer = assume(good, Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}')
assert answer["PackedPolicySize"] >= 1, answer
assert answer["SubjectFromWebIdentityToken"].startswith("system:serviceaccount:"), answer
assert answer["Credentials"]["Expiration"].tzinfo is not None, answer
fails_with(sts.exceptions.ExpiredTokenException, token=tokens["expired"])
fails_with(sts.exceptions.InvalidIdentityTokenException, token=tokens["other audience"])
fails_with(sts.exceptions.IDPRejectedClaimException, token=tokens["not yet valid"])
fails_with(sts.exceptions.MalformedPolicyDocumentException, token=good, Policy="{}x")
fails_with(sts.exceptions.IDPCommunicationErrorException, token=tokens["silent issuer"])
assert fails_with(ClientError, token=tokens["other subject"]) == "AccessDenied"
print("ok")
