"""
A small Hugging Face Hub on this machine, for tests: repos with commits in memory, over HTTP.

It speaks what huggingface_hub asks of a Hub to create a repo, to commit regular and LFS files, to list, and to download
by revision, in parts as well. `cut` names files whose first download breaks off half-way.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

USER = "me"


class Hub:
    """What the server holds: `repos[id]` is a list of commits `(sha, {path: bytes})`, the newest last."""

    def __init__(self):
        self.repos, self.branches, self.objects = {}, {}, {}
        self.cut, self.requests, self.lock = set(), [], threading.Lock()

    def commit(self, repo, changes, deleted, branch):
        with self.lock:
            files = {**self.files(repo, branch), **changes}
            files = {path: data for path, data in files.items() if path not in deleted}
            sha = hashlib.sha1(repr((branch, len(self.repos[repo]), sorted(files))).encode()).hexdigest()
            self.repos[repo].append((sha, files))
            self.branches[repo, branch] = sha
        return sha

    def sha(self, repo, revision):
        """The commit of a branch or (the beginning of) a sha; None if there is none."""
        if (repo, revision) in self.branches:
            return self.branches[repo, revision]
        return next((sha for sha, _ in self.repos[repo] if sha.startswith(revision)), None)

    def files(self, repo, revision):
        sha = self.sha(repo, revision)
        return dict(next((files for each, files in self.repos[repo] if each == sha), {}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, content, status=200, **headers):
        self._send(json.dumps(content).encode(), status, **{"Content-Type": "application/json", **headers})

    def _send(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _fail(self, status, code):
        self._json({"error": code}, status, **{"X-Error-Code": code, "X-Error-Message": code})

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if path == "/api/whoami-v2":
            return self._json({"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})
        if found := re.fullmatch(
            r"/api/models/([\w.-]+/[\w.-]+)(?:/(revision|tree|refs)(?:/([^/]+))?(?:/(.*))?)?", path
        ):
            return self._about(*found.groups())
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._download(*found.groups())
        return self._fail(404, "NotFound")

    do_HEAD = do_GET  # noqa: N815

    def _about(self, repo, what, revision, folder):
        if repo not in self.hub.repos:
            return self._fail(404, "RepoNotFound")
        if what == "refs":
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
                for (of, name), sha in self.hub.branches.items()
                if of == repo
            ]
            return self._json({"branches": branches, "tags": [], "converts": []})
        sha = self.hub.sha(repo, revision or "main")
        if sha is None and self.hub.repos[repo]:
            return self._fail(404, "RevisionNotFound")
        files = self.hub.files(repo, revision or "main")
        if what == "tree":
            return self._tree(files, folder or "")
        siblings = [{"rfilename": name} for name in sorted(files)]
        more = {"private": False, "tags": [], "downloads": 0, "likes": 0, "disabled": False, "gated": False}
        return self._json({"id": repo, "modelId": repo, "sha": sha, "siblings": siblings, **more})

    def _tree(self, files, folder):
        """What lies in a folder; all below it when the question asks for `recursive`."""
        start = f"{folder}/" if folder else ""
        below = {name: data for name, data in sorted(files.items()) if name.startswith(start)}
        if folder and not below:
            return self._fail(404, "EntryNotFound")
        if "recursive=true" in urlsplit(self.path).query.lower():
            return self._json([_entry(name, data) for name, data in below.items()])
        folders = {start + name[len(start) :].split("/")[0] for name in below if "/" in name[len(start) :]}
        entries = [_entry(name, data) for name, data in below.items() if "/" not in name[len(start) :]]
        return self._json([*entries, *({"type": "directory", "path": each, "oid": ""} for each in sorted(folders))])

    def _download(self, repo, revision, name):
        if repo not in self.hub.repos:
            return self._fail(404, "RepoNotFound")
        sha = self.hub.sha(repo, revision)
        if sha is None:
            return self._fail(404, "RevisionNotFound")
        files = self.hub.files(repo, revision)
        if name not in files:
            return self._json({}, 404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        data = files[name]
        etag = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": sha, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted and self.command == "GET":
            start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            return self._send(data[start : end + 1], 206, **headers)
        if self.command == "GET" and name in self.hub.cut:
            self.hub.cut.discard(name)
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(2)
        return self._send(data, **headers)

    def do_PUT(self):
        data = self._body()
        self.hub.objects[hashlib.sha256(data).hexdigest()] = data
        self._send(b"", ETag='"x"')

    def do_POST(self):
        path, body = unquote(urlsplit(self.path).path), self._body()
        self.hub.requests.append(("POST", path, None))
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            base = f"http://{self.headers['Host']}"
            objects = [
                {**each, "actions": {"upload": {"href": f"{base}/lfs/{each['oid']}", "header": {}}}}
                for each in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/branch/([^/]+)", path):
            repo, branch = found.groups()
            if (repo, branch) in self.hub.branches:
                return self._json({"error": "Reference already exists"}, 409)
            self.hub.branches[repo, branch] = self.hub.branches[repo, "main"]
            return self._json({})
        found = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(preupload|commit|paths-info)/([^/]+)", path)
        if not found or found[1] not in self.hub.repos:
            return self._fail(404, "RepoNotFound")
        repo, what, revision = found.groups()
        if what == "preupload":
            files = json.loads(body)["files"]
            modes = [
                {"path": each["path"], "uploadMode": _mode(each["path"]), "shouldIgnore": False, "oid": None}
                for each in files
            ]
            return self._json({"files": modes})
        if what == "paths-info":
            files, asked = self.hub.files(repo, revision), json.loads(body)["paths"]
            return self._json([_entry(name, files[name]) for name in asked if name in files])
        return self._commit(repo, revision, body)

    def _create(self, asked):
        repo = f"{asked.get('organization') or USER}/{asked['name'].split('/')[-1]}"
        url = f"http://{self.headers['Host']}/{repo}"
        if repo in self.hub.repos:
            return self._json({"error": "You already created this model repo", "url": url}, 409)
        self.hub.repos[repo] = []
        self.hub.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"}, [], "main")
        return self._json({"url": url, "name": repo})

    def _commit(self, repo, revision, body):
        changes, deleted = {}, []
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                changes[value["path"]] = self.hub.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                deleted.append(value["path"])
        sha = self.hub.commit(repo, changes, deleted, revision)
        url = f"http://{self.headers['Host']}/{repo}/commit/{sha}"
        return self._json({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})


def _mode(name):
    return "lfs" if name.endswith(".safetensors") else "regular"


def _entry(name, data):
    entry = {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if _mode(name) == "lfs":
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 132}
    return entry


@contextmanager
def local_hub():
    """The [`Hub`] and its address."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def environment(address, home):
    """Variables with which a new process takes this Hub, and a cache of its own, for the real ones."""
    return {
        **{"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_TOKEN": "hf_test", "HF_HUB_OFFLINE": "0"},
        **{
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        },
        **{"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    }
