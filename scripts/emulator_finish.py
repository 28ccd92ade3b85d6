"""Runs in the emulator's environment after a deployment: what differs from AWS, then prints the outputs.

1. The emulator takes an API's paths from its OpenAPI body and skips two things in there: the gateway
   responses, so that it would answer a throttled request in words of its own, and methods called ANY. AWS
   takes all; here they are set from the same body, as the deployed stack has it.
2. It enforces the policies of bucket and topic, and it speaks plain HTTP on loopback: the statements
   that refuse whatever is not TLS are lifted, else nothing would work. The roles' policies stay.
"""

import json
import sys
from typing import Any

import boto3

RESPONSES = "x-amazon-apigateway-gateway-responses"
INTEGRATION = "x-amazon-apigateway-integration"
ANY = "x-amazon-apigateway-any-method"
#: What a template's property is when it is not there.
NO_VALUE = {"Ref": "AWS::NoValue"}


class Template:
    """A template's conditions and functions, as far as the gateway responses use them."""

    def __init__(self, template: dict, parameters: dict[str, str]):
        self.conditions = template.get("Conditions", {})
        self.parameters = parameters

    def holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self.holds(self.conditions[condition])
        [(kind, given)] = condition.items()
        if kind == "Fn::Equals":
            return self.value(given[0]) == self.value(given[1])
        if kind == "Fn::Not":
            return not self.holds(given[0])
        raise ValueError(f"the condition {kind} is not known here")

    def value(self, given: Any) -> Any:
        if not isinstance(given, dict) or len(given) != 1 or given == NO_VALUE:
            return given
        [(kind, inside)] = given.items()
        match kind:
            case "Ref":
                return self.parameters[inside]
            case "Fn::If":
                return self.value(inside[1] if self.holds(inside[0]) else inside[2])
            case "Fn::Split":
                return self.value(inside[1]).split(inside[0])
            case "Fn::Select":
                return self.value(inside[1])[int(inside[0])]
            case "Fn::Sub":
                text, names = inside if isinstance(inside, list) else (inside, {})
                for name, value in names.items():
                    text = text.replace(f"${{{name}}}", self.value(value))
                return text
        raise ValueError(f"the function {kind} is not known here")


def set_any_methods(api_id: str, body: dict) -> None:
    api = boto3.client("apigateway")
    found = api.get_resources(restApiId=api_id, limit=500)["items"]
    places = {resource["path"]: resource["id"] for resource in found}
    # The function behind a method is found by another method of it, which the emulator has resolved.
    uris = {}
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            if method != ANY and INTEGRATION in operation:
                known = api.get_integration(restApiId=api_id, resourceId=places[path], httpMethod=method.upper())
                uris[json.dumps(operation[INTEGRATION]["uri"])] = known["uri"]
    for path, methods in body["paths"].items():
        if ANY in methods:
            place = {"restApiId": api_id, "resourceId": places[path], "httpMethod": "ANY"}
            uri = uris[json.dumps(methods[ANY][INTEGRATION]["uri"])]
            api.put_method(**place, authorizationType="NONE")
            api.put_integration(**place, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)


def set_gateway_responses(api_id: str, body: dict, template: Template) -> None:
    api = boto3.client("apigateway")
    for kind, given in body.get(RESPONSES, {}).items():
        headers = {name: template.value(value) for name, value in given.get("responseParameters", {}).items()}
        wanted = {
            "restApiId": api_id,
            "responseType": kind,
            "responseParameters": {name: value for name, value in headers.items() if value != NO_VALUE},
            "responseTemplates": given.get("responseTemplates", {}),
        }
        if "statusCode" in given:
            wanted["statusCode"] = str(given["statusCode"])
        api.put_gateway_response(**wanted)


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
    parameters = {given["ParameterKey"]: given["ParameterValue"] for given in described["Parameters"]}
    api_id = outputs["ApiId"]
    set_any_methods(api_id, body)
    set_gateway_responses(api_id, body, Template(template, parameters))
    boto3.client("apigateway").create_deployment(restApiId=api_id, stageName=outputs["ApiStage"])
    lift_tls_only(outputs["BucketName"], outputs["TopicArn"])
    print(json.dumps(outputs))


main(sys.argv[1])
