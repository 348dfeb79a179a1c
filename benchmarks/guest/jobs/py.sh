# Start CPython five times with modules that scripts commonly import.
set -e
for i in 1 2 3 4 5; do
	python3 -c 'import json, ssl, http.client, unittest, sqlite3, asyncio; print(json.dumps([1]))'
done
