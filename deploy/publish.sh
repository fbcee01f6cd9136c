#!/usr/bin/env bash
# Builds the image of one service and pushes it. Reads SERVICE, TAG, OWNER, ACTOR and TOKEN from the environment.
set -euo pipefail
image="ghcr.io/${OWNER}/${SERVICE}:${TAG#v}"
printf '%s' "$TOKEN" | docker login ghcr.io -u "$ACTOR" --password-stdin
docker build --build-arg "BIN=${SERVICE}" -f deploy/Dockerfile -t "$image" .
docker push "$image"
