"""Runs in the emulator's environment: credentials with the permissions of a deployed function's role,
and its environment variables.

The role trusts Lambda alone, so that nobody else may assume it: a role with the same policies that
trusts the account is made beside it. Prints the access key, the secret and the session token, and on
a second line the variables as JSON.
"""

import json
import sys

import boto3


def main(function: str) -> None:
    iam = boto3.client("iam")
    configuration = boto3.client("lambda").get_function_configuration(FunctionName=function)
    role = configuration["Role"].rsplit("/", 1)[-1]
    account = boto3.client("sts").get_caller_identity()["Account"]
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    name = f"{role}-tests"[-64:]
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        given = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        text = given if isinstance(given, str) else json.dumps(given)
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=text)
    session = boto3.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="tests")
    given = session["Credentials"]
    print(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    print(json.dumps(configuration["Environment"]["Variables"]))


main(sys.argv[1])
