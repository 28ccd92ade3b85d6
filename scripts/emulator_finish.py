"""Runs in the emulator's environment after a deployment: what differs from AWS, then prints the outputs.

1. The emulator takes an API's paths from its OpenAPI body and skips the gateway responses in there, so
   that it would answer an unknown path or a throttled request in words of its own. AWS takes both; here
   they are set from the same body, as the deployed stack has it.
2. It enforces the policies of bucket and topic, and it speaks plain HTTP on loopback: the statements
   that refuse whatever is not TLS are lifted, else nothing would work. The roles' policies stay.
"""

import json
import sys

import boto3

EXTENSION = "x-amazon-apigateway-gateway-responses"


def set_gateway_responses(api_id: str, stage: str, body: dict) -> None:
    api = boto3.client("apigateway")
    for kind, given in body.get(EXTENSION, {}).items():
        wanted = {
            "restApiId": api_id,
            "responseType": kind,
            "responseParameters": given.get("responseParameters", {}),
            "responseTemplates": given.get("responseTemplates", {}),
        }
        if "statusCode" in given:
            wanted["statusCode"] = str(given["statusCode"])
        api.put_gateway_response(**wanted)
    api.create_deployment(restApiId=api_id, stageName=stage)


def lift_tls_only(bucket: str, topic: str) -> None:
    boto3.client("s3").delete_bucket_policy(Bucket=bucket)
    nothing = json.dumps({"Version": "2012-10-17", "Statement": []})
    boto3.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=nothing)


def main(stack: str) -> None:
    formation = boto3.client("cloudformation")
    described = formation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    template = formation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    if isinstance(template, str):
        template = json.loads(template)
    body = template["Resources"]["Api"]["Properties"]["Body"]
    set_gateway_responses(outputs["ApiId"], outputs["ApiStage"], body)
    lift_tls_only(outputs["BucketName"], outputs["TopicArn"])
    print(json.dumps(outputs))


main(sys.argv[1])
