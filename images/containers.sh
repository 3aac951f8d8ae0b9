# Sourced by images/build, images/test and the tests: which program builds and runs containers, and how.
# docker where a Docker engine answers; else podman, with runc and overlay storage when run as root without a session
# (crun refuses hybrid cgroups, vfs copies gigabytes before each start). Everything it stores lies under $VADOSE_CACHE.
containers_setup() {
  cache=${VADOSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vadose-ci}
  engine=${VADOSE_CONTAINERS:-}
  if [ -z "$engine" ]; then
    if command -v podman >/dev/null; then engine=podman
    elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then engine=docker
    else echo "neither podman nor a Docker engine is on this machine: apt-get install podman runc" >&2; return 3; fi
  fi
  if [ "$engine" = podman ] && [ "$(id -u)" = 0 ] && [ -z "${CONTAINERS_CONF:-}" ]; then
    store=$cache/containers
    mkdir -p "$store"
    # Written beside and renamed: somebody who reads at the same moment finds the old file or the new one, never half of it.
    cat >"$store/containers.conf.$$" <<CONF
[containers]
default_ulimits = ["nofile=4096:16384", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    cat >"$store/storage.conf.$$" <<CONF
[storage]
driver = "overlay"
graphroot = "$store/graph"
runroot = "$store/run"
CONF
    mv "$store/containers.conf.$$" "$store/containers.conf"
    mv "$store/storage.conf.$$" "$store/storage.conf"
    export CONTAINERS_CONF=$store/containers.conf CONTAINERS_STORAGE_CONF=$store/storage.conf
  fi
  export engine cache
}

# Every file of an image, one a line: its bytes and its folder. Sums what files hold, name by name, not what a disk takes for them: blocks,
# links and the engine's own counting differ from one storage driver and file system to the next.
files_of() {
  "$engine" run --rm --network=none --user 0 --entrypoint find "$1" / -xdev -type f -printf '%s %h\n'
}
