#!/bin/sh
# Makes three sizes of a picture beside each other, and waits until they are there.
#
#     examples/curl/sizes.sh http://127.0.0.1:8000/photo.jpg file:///srv/imgserve/results
#
# The server is IMGSERVE_URL, its key IMGSERVE_KEY. It ends with 1 if a size could not be made.
set -eu
source=$1 place=$2
server=${IMGSERVE_URL:-http://127.0.0.1:8602}

call() {
    curl --silent --show-error --fail-with-body -H "Authorization: Bearer ${IMGSERVE_KEY:-}" -H 'Prefer: wait=60' "$@"
}

refused() { # the problem has the reason
    printf '%s\n' "$job" >&2
    exit 1
}

# --retry sends the job again if the server cannot be reached or has no time. With its key it is the same job.
job=$(call --retry 5 --retry-connrefused -H 'Content-Type: application/json' \
    -H "Idempotency-Key: sizes-$(date +%s)-$$" "$server/v1/jobs" -d @- <<END
{"source": "$source", "outputs": [
  {"name": "large", "operations": [{"operation": "resize", "width": 600}], "destination": "$place/{\$basename}-large.webp"},
  {"name": "card", "operations": [{"operation": "resize", "width": 300, "height": 200}], "destination": "$place/{\$basename}-card.webp"},
  {"name": "thumb", "operations": [{"operation": "resize", "width": 64, "height": 64}], "destination": "$place/{\$basename}-thumb.webp"}]}
END
) || refused
id=$(printf %s "$job" | sed 's/^{"id":"\([^"]*\)".*/\1/')
while printf %s "$job" | grep -q '"ended_at":null'; do
    job=$(call "$server/v1/jobs/$id") || refused
done
printf '%s\n' "$job"
printf %s "$job" | grep -q '"status":"succeeded"'
