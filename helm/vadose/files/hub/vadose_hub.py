"""JupyterHub configuration of vadose: the same file on one machine and in the chart.

The hub reads this file; what differs between a laptop and a cluster comes in as settings (a JSON file named by
VADOSE_HUB_SETTINGS). `configure` is a plain function of a config object and settings, so tests call it with a fake.
"""

import asyncio
import json
import os
import random
import secrets
import sys
from pathlib import Path

GATEWAY = "dask-gateway"
CATALOG = "stac"


def roles(settings):
    """Who may do what. Without the access scope a token is refused by the gateway, so nobody starts clusters by accident."""
    reach = [f"access:services!service={GATEWAY}", f"access:services!service={CATALOG}"]
    if settings.get("citizen"):
        reach.append("access:services!service=citizen")
    catalog_only = reach[1:]
    group = settings.get("cluster_group")
    # `server` is what a notebook's own token may do; it never exceeds what its owner may do.
    out = [
        {"name": "user", "scopes": ["self", *(catalog_only if group else reach)]},
        {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *reach]},
    ]
    if group:
        out.append({"name": "cluster-users", "scopes": reach, "groups": [group]})
    return out


def user_environment(settings):
    """What every notebook finds in its environment; the same names on a laptop's hub and in the cloud."""
    gateway = settings["gateway"]
    out = {
        "DASK_GATEWAY__ADDRESS": gateway["address"],
        "DASK_GATEWAY__PROXY_ADDRESS": gateway["proxy_address"],
        "DASK_GATEWAY__PUBLIC_ADDRESS": f"/services/{GATEWAY}",
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        "VADOSE_ON_HUB": settings["kind"],
        # Links of a class bring their notebooks here (vadose workshop link).
        "NBGITPULLER_PARENTPATH": "content",
    }
    if settings.get("jupyter_config"):
        # Lab's own defaults: no news pop-up over the notebook, no question to the Internet for updates.
        out["JUPYTER_CONFIG_PATH"] = settings["jupyter_config"]
    out.update(settings.get("environment", {}))
    return out


class _Passwords:
    """Passwords by user from a file that only its owner may read."""

    def __init__(self, path):
        self.path = path

    def check(self, username, password):
        known = json.loads(Path(self.path).read_text())["users"]
        expected = known.get(username)
        # Compare something in any case, so that an unknown name takes as long as a wrong password.
        same = secrets.compare_digest((expected or secrets.token_hex()).encode(), (password or "").encode())
        return same and expected is not None


def password_authenticator(path, notice):
    """An authenticator class over a password file; `notice` is shown on the login page."""
    from jupyterhub.auth import Authenticator

    class PasswordFileAuthenticator(Authenticator):
        passwords = _Passwords(path)
        login_notice = notice

        async def authenticate(self, handler, data):
            name = self.normalize_username(data["username"])
            return name if self.passwords.check(name, data["password"]) else None

    return PasswordFileAuthenticator


def place_notebooks(source, home, owner=None):
    """Copy the curated notebooks into a home: new ones appear, untouched ones are renewed, changed ones are never overwritten.

    What was copied is remembered by content, so that a file somebody edited is told apart from one of an older release.
    """
    import hashlib

    source, target = Path(source), Path(home) / "notebooks"
    record = target / ".vadose-copied.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir() or any(part.startswith((".", "__")) for part in relative.parts):
            continue
        if relative.suffix not in {".ipynb", ".md", ".yaml", ".csv"}:
            continue
        fresh = path.read_bytes()
        there = target / relative
        if there.exists():
            current = hashlib.sha256(there.read_bytes()).hexdigest()
            if current != known.get(str(relative)) or current == hashlib.sha256(fresh).hexdigest():
                continue
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(fresh)
        known[str(relative)] = hashlib.sha256(fresh).hexdigest()
    target.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(known, indent=0))
    if owner is not None:
        uid, gid = owner
        for path in [target, *target.rglob("*")]:
            os.chown(path, uid, gid)


class ServerPorts:
    """A port of its own for each server of a user, for as long as the hub runs.

    A free port that the system names is free until its server binds it, seconds later: by then another server of a class, or
    any connection, has it. The second server dies, the hub takes the answer of the first for a sign of life, and one user's
    requests go to the other's server, which knows no such page. So no port is named twice, and none lies where the system
    picks (32768 and up). The hub's own ports are `kept`: one of a service that was killed looks free until it is back.
    """

    def __init__(self, span=range(20_000, 32_768), kept=()):
        self.span, self.kept, self.given = span, frozenset(kept), {}
        self.at = random.randrange(len(span))  # two hubs on one machine begin apart

    def of(self, server):
        from vadose.hub.state import is_free  # on one machine only: the chart's hub has no vadose

        if server in self.given and is_free(self.given[server]):
            return self.given[server]
        taken = self.kept.union(self.given.values())
        for _ in self.span:
            self.at = (self.at + 1) % len(self.span)
            port = self.span[self.at]
            if port not in taken and is_free(port):
                self.given[server] = port
                return port
        raise RuntimeError(f"no free port between {self.span[0]} and {self.span[-1]} for the server of {server[0]}")


def configure_common(c, settings):
    c.JupyterHub.load_roles = roles(settings)
    c.Spawner.default_url = settings.get("default_url", "/lab/tree/notebooks/00-start")
    c.Spawner.environment = user_environment(settings)
    c.JupyterHub.template_vars = {"announcement_login": settings.get("login_notice", ""), "login_title": "vadose"}
    if settings.get("template_paths"):
        c.JupyterHub.template_paths = settings["template_paths"]


def configure_local(c, settings):
    """One machine: everything on loopback, processes instead of pods."""
    state, ports = Path(settings["state"]), settings["ports"]
    bindir = os.path.dirname(sys.executable)
    # The one address that others may be let in by (`--ip`); everything else stays on loopback.
    c.JupyterHub.bind_url = f"http://{settings.get('ip', '127.0.0.1')}:{ports['public']}"
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{ports['hub']}"
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{ports['proxy']}"
    c.ConfigurableHTTPProxy.command = [sys.executable, "-m", "vadose.hub.proxy"]
    c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
    c.ConfigurableHTTPProxy.check_running_interval = 5
    c.JupyterHub.db_url = f"sqlite:///{state}/jupyterhub.sqlite"
    c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
    # A crash must not leave servers behind that nobody can reach.
    c.JupyterHub.cleanup_servers = True
    c.JupyterHub.cleanup_proxy = True

    c.JupyterHub.authenticator_class = password_authenticator(str(state / "passwords.json"), settings.get("login_notice", ""))
    c.Authenticator.allowed_users = set(settings["users"])
    c.JupyterHub.load_groups = {name: {"users": members} for name, members in settings.get("groups", {}).items()}

    unix_users = settings.get("unix_users", False)
    c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
    c.Spawner.ip = "127.0.0.1"
    # A class that comes in at once shares few cores: a server or a kernel that starts slowly is waited for, not given up.
    patience = 300
    c.Spawner.args = [f"--MappingKernelManager.kernel_info_timeout={patience}", "--KernelManager.transport=ipc"]
    if os.geteuid() == 0 and not unix_users:
        c.Spawner.args = ["--allow-root", *c.Spawner.args]
    c.Spawner.http_timeout = patience
    c.Spawner.start_timeout = patience
    notebooks = settings.get("notebooks")
    if unix_users:
        c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
    else:
        c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
        c.SimpleLocalProcessSpawner.home_dir_template = str(state / "home" / "{username}")

    server_ports = ServerPorts(kept=ports.values())

    def prepare(spawner):
        spawner.port = server_ports.of((spawner.user.name, spawner.name))
        # Kernels listen on sockets in a folder of their user. With TCP a kernel's five ports are chosen long before it binds
        # them: in a class that comes in at once somebody else has one by then, and that kernel never answers.
        runtime = Path(settings["runtime"]) / spawner.user.name
        runtime.mkdir(mode=0o700, exist_ok=True)
        spawner.environment = {**spawner.environment, "JUPYTER_RUNTIME_DIR": str(runtime)}
        if unix_users:
            import pwd

            entry = pwd.getpwnam(spawner.user.name)
            home, owner = entry.pw_dir, (entry.pw_uid, entry.pw_gid)
            os.chown(runtime, *owner)
            spawner.notebook_dir = home
        else:
            home, owner = str(state / "home" / spawner.user.name), None
            Path(home).mkdir(parents=True, exist_ok=True, mode=0o700)
            spawner.notebook_dir = home
        if notebooks:
            place_notebooks(notebooks, home, owner)

    # A server takes seconds of a core to start. Seventy at once would take minutes each, all of them too long for somebody's
    # patience; a few at a time are up within seconds each, and the last is up no later.
    room = asyncio.Semaphore(max(4, 2 * (os.cpu_count() or 2)))
    c.JupyterHub.concurrent_spawn_limit = 0
    running = set()

    async def give_room_back(spawner):
        while spawner.pending == "spawn":
            await asyncio.sleep(0.2)
        room.release()

    async def before_start(spawner):
        await room.acquire()
        try:
            prepare(spawner)
        except BaseException:
            room.release()
            raise
        waiting = asyncio.ensure_future(give_room_back(spawner))
        running.add(waiting)
        waiting.add_done_callback(running.discard)

    c.Spawner.pre_spawn_hook = before_start

    gateway_environment = {
        "PATH": bindir + os.pathsep + os.environ.get("PATH", ""),
        "VADOSE_GATEWAY_SETTINGS": settings["gateway"]["settings_file"],
        "VADOSE_HUB_ID": settings["hub_id"],
    }
    c.JupyterHub.services = [
        {
            "name": GATEWAY,
            "url": f"http://127.0.0.1:{ports['gateway']}",
            "display": False,
            "command": [sys.executable, "-m", "dask_gateway_server", "--config", settings["gateway"]["config_file"]],
            "environment": gateway_environment,
        },
        {"name": CATALOG, "url": f"http://127.0.0.1:{ports['stac']}", "display": True, "api_token": settings["stac_token"]},
    ]
    if settings.get("citizen"):
        c.JupyterHub.services.append(
            {"name": "citizen", "url": f"http://127.0.0.1:{ports['citizen']}", "display": True, "oauth_no_confirm": True, "api_token": settings["citizen"]["token"]}
        )


def configure_kubernetes(c, settings):
    """A cluster: what the JupyterHub chart has set is kept; the notebook pod learns where gateway and catalog are."""
    # The chart below has put its own roles there already (the culler's): assigning would take them away.
    ours = roles(settings)
    kept = [r for r in settings.get("roles_before", []) if r["name"] not in {r["name"] for r in ours}]
    c.JupyterHub.load_roles = kept + ours
    for service in c.JupyterHub.services:
        if service["name"] in settings["services"]:
            service["url"] = settings["services"][service["name"]]

    environment = {
        # Braces twice: KubeSpawner formats once, Dask fills what is left.
        "DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE": "{{JUPYTER_IMAGE_SPEC}}",
        "DASK_DISTRIBUTED__DASHBOARD__LINK": "{{JUPYTERHUB_SERVICE_PREFIX}}proxy/{{port}}/status",
    }
    cloud = settings.get("cloud", {})
    if cloud.get("scratchBucket"):
        environment["SCRATCH_BUCKET"] = f"s3://{cloud['scratchBucket']}/$(JUPYTERHUB_USER)"
        if cloud.get("scratchDays"):
            environment["VADOSE_SCRATCH_DAYS"] = str(cloud["scratchDays"])
    if cloud.get("dataBucket"):
        environment["VADOSE_DATA_BUCKET"] = f"s3://{cloud['dataBucket']}"
    if cloud.get("region"):
        environment["AWS_DEFAULT_REGION"] = cloud["region"]
    if settings.get("runtime_outside_home", True):
        # A full home must still start: what a server writes to start lives in /tmp.
        environment["JUPYTER_RUNTIME_DIR"] = "/tmp/jupyter-runtime"
        environment["IPYTHONDIR"] = "/tmp/ipython"
        environment["DASK_TEMPORARY_DIRECTORY"] = "/tmp/dask"
    for name, value in {**user_environment(settings), **environment}.items():
        c.KubeSpawner.environment.setdefault(name, value)
    image = settings["image"]
    c.KubeSpawner.image = f"{image['name']}:{image['tag']}"
    # A notebook has no business with Kubernetes; its cloud identity is mounted apart from this token.
    c.KubeSpawner.automount_service_account_token = False
    c.KubeSpawner.container_security_context = {"capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    c.KubeSpawner.pod_security_context = {"seccompProfile": {"type": "RuntimeDefault"}}
    c.KubeSpawner.http_timeout = 120
    login(c, settings["login"], os.environ)

    gpu = settings.get("gpu", {})
    everybody = profiles(settings)

    async def offered(spawner):
        """The GPU profile is shown to members of its group only."""
        groups = {g.name for g in spawner.user.groups}
        return everybody + ([gpu_profile({**gpu, "image": full_image(gpu["image"], settings["images"])})] if gpu.get("enabled") and gpu["group"] in groups else [])

    c.KubeSpawner.profile_list = offered


def login(c, said, environment):
    """Who may come in. Secrets come from the environment (a Kubernetes Secret that the operator makes), never from values."""
    kind = said["kind"]
    c.JupyterHub.authenticator_class = kind
    c.Authenticator.allow_all = False
    c.Authenticator.admin_users = set(said.get("administrators", []))
    c.Authenticator.allowed_users = set(said.get("allowedUsers", []))
    c.JupyterHub.load_groups = {name: {"users": list(members)} for name, members in said.get("groups", {}).items()}
    if kind == "shared-password":
        # For a class: whoever knows the word is in, and the word changes when the class is over.
        for name, trait, shortest in (("VADOSE_LOGIN_PASSWORD", "user_password", 8), ("VADOSE_LOGIN_ADMIN_PASSWORD", "admin_password", 32)):
            word = environment.get(name, "")
            if len(word) < shortest:
                raise ValueError(f"login shared-password needs {name} of at least {shortest} characters in the Secret vadose-login")
            setattr(c.SharedPasswordAuthenticator, trait, word)
        if not said.get("allowedUsers"):
            c.Authenticator.allow_all = True
        return
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"):
        if not environment.get(name):
            raise ValueError(f"login {kind} needs {name} in the Secret vadose-login: see docs/operate/first-deploy.md")
    c.OAuthenticator.oauth_callback_url = f"https://{said['host']}/hub/oauth_callback"
    if kind == "cilogon":
        # Only these institutions' people can finish the login; a list of names narrows it further.
        c.CILogonOAuthenticator.allowed_idps = {url: {"username_derivation": {"username_claim": "email"}} for url in said["allowedInstitutions"]}
        c.Authenticator.allow_all = not said.get("allowedUsers")
    elif kind == "github":
        c.GitHubOAuthenticator.allowed_organizations = set(said.get("allowedOrganizations", []))
        c.GitHubOAuthenticator.scope = ["read:org"]
    else:
        raise ValueError(f"login {kind!r} is not one of cilogon, github, shared-password")


def profiles(settings):
    """One profile with two questions: how much memory, which image. Guarantee equals limit for memory."""
    images = settings["images"]
    offered = {title: full_image(spec, images) for title, spec in images["choices"].items()}
    if settings.get("image"):
        # The image that is pulled in advance comes first and is what nobody has to choose.
        offered = {"Notebook": f"{settings['image']['name']}:{settings['image']['tag']}", **offered}
    choices = {_slug(title): {"display_name": title, "default": k == 0, "kubespawner_override": {"image": spec}} for k, (title, spec) in enumerate(offered.items())}
    image_option = {"display_name": "Image", "choices": choices}
    if images.get("bringYourOwn"):
        image_option["unlisted_choice"] = {
            "enabled": True,
            "display_name": "An image of your own (with a tag)",
            "validation_regex": "^.+:(?!latest$)[^/]+$",
            "validation_message": "Write name:tag, and not the tag 'latest': it changes under your feet.",
            "kubespawner_override": {"image": "{value}"},
        }
    sizes = {}
    for step in settings["ladder"]:
        sizes[_slug(step["name"])] = {
            "display_name": f"{step['memoryGiB']:g} GiB, {max(step['cpu'], 0.05):g} to {step['cpuLimit']:g} CPUs",
            "default": step["name"] == settings["default_step"],
            "kubespawner_override": {
                "mem_guarantee": f"{step['memoryGiB']:.2f}G",
                "mem_limit": f"{step['memoryGiB']:.2f}G",
                "cpu_guarantee": max(step["cpu"], 0.05),
                "cpu_limit": step["cpuLimit"],
                "node_selector": dict(step.get("nodeSelector", {})),
            },
        }
    if settings["default_step"] not in [s["name"] for s in settings["ladder"]]:
        raise ValueError(f"profiles.default {settings['default_step']!r} is not a step of the ladder: {[s['name'] for s in settings['ladder']]}")
    return [{"display_name": "Notebook", "slug": "notebook", "default": True, "profile_options": {"size": {"display_name": "Size", "choices": sizes}, "image": image_option}}]


def full_image(spec, images):
    """`name:tag` of this hub's registry, or an image of any other as it is written."""
    registry = images.get("registry", "").rstrip("/")
    return spec if "/" in spec or not registry else f"{registry}/{spec}"


def gpu_profile(gpu):
    return {
        "display_name": "GPU (for training networks; shared by few)",
        "slug": "gpu",
        "kubespawner_override": {
            "image": gpu["image"],
            "mem_guarantee": f"{gpu['memoryGiB']:.2f}G",
            "mem_limit": f"{gpu['memoryGiB']:.2f}G",
            "cpu_guarantee": gpu["cpu"],
            "extra_resource_limits": {"nvidia.com/gpu": "1"},
            "environment": {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"},
            # A list takes the place of the one below it: without the users' own taints no GPU node would take the pod.
            "tolerations": [
                {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
                for key, value in (("nvidia.com/gpu", "present"), ("hub.jupyter.org/dedicated", "user"), ("hub.jupyter.org_dedicated", "user"))
            ],
            "node_selector": {"k8s.amazonaws.com/accelerator": "nvidia"},
        },
    }


def _slug(text):
    return "".join(ch if ch.isalnum() else "-" for ch in text.lower()).strip("-")


def configure(c, settings):
    """Everything, from settings: `kind` is `local` or `kubernetes`."""
    if settings["kind"] == "kubernetes":
        settings = {**settings, "roles_before": list(c.JupyterHub.get("load_roles") or [])}
    configure_common(c, settings)
    {"local": configure_local, "kubernetes": configure_kubernetes}[settings["kind"]](c, settings)


if "c" in globals() and os.environ.get("VADOSE_HUB_SETTINGS"):
    # `c` and not get_config(): the JupyterHub chart runs this file where get_config is a function of its own.
    configure(c, json.loads(Path(os.environ["VADOSE_HUB_SETTINGS"]).read_text()))
