"""Our own policy over the manifests: what a schema cannot say."""

import glob
import re
import sys

import yaml

wrong = []


def check(ok, text):
    if not ok:
        wrong.append(text)


for path in sorted(glob.glob("deploy/k8s/base/*.yaml")):
    if path.endswith("kustomization.yaml"):
        continue
    kinds = {d["kind"]: d for d in yaml.safe_load_all(open(path))}
    check({"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= kinds.keys(), f"{path}: a kind is missing")
    pod = kinds["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    check(kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels, f"{path}: the selector misses the pod")
    check(kinds["Service"]["spec"]["selector"] == labels, f"{path}: the service misses the pod")
    check(pod["spec"]["securityContext"]["runAsNonRoot"], f"{path}: runs as root")
    for box in pod["spec"]["containers"]:
        check(not re.search(r":(latest)?$", box["image"]) and ":" in box["image"], f"{path}: the image has no version")
        check(box["resources"]["limits"]["memory"] and box["resources"]["requests"], f"{path}: no resources")
        check({"startupProbe", "readinessProbe", "livenessProbe"} <= box.keys(), f"{path}: a probe is missing")
        safe = box["securityContext"]
        check(safe["readOnlyRootFilesystem"] and safe["capabilities"]["drop"] == ["ALL"], f"{path}: not locked down")
        known = set(re.findall(r"\[env: (RETENTION_\w+)", open("docs/settings.md").read()))
        for variable in box["env"]:
            check(variable["name"] in known, f"{path}: {variable['name']} is no setting")

compose = yaml.safe_load(open("docker-compose.yml"))
for name, service in compose["services"].items():
    check(":" in service["image"] and not service["image"].endswith(":latest"), f"compose: {name} has no version")
    for port in service.get("ports", []):
        check(port.startswith("127.0.0.1:"), f"compose: {name} is open to the network")
    for variable in service.get("environment", {}):
        check(variable in set(re.findall(r"\[env: (RETENTION_\w+)", open("docs/settings.md").read())), f"compose: {variable} is no setting")

dockerfile = open("deploy/Dockerfile").read()
for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M):
    for part in source.split():
        check(glob.glob(part), f"Dockerfile: {part} is not there")

if wrong:
    sys.exit("\n".join(wrong))
print("manifests: policy holds")
