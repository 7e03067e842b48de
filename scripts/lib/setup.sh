# shellcheck shell=bash
# Set-up shared by the scripts beside it: says what it installs and why, and installs only what is missing.
#
# Meant to be sourced by a script that has `set -euo pipefail`. Works on Debian 12 and newer and on
# Ubuntu 22.04 and newer, as root or with sudo. Nothing here stops a Docker Engine: one that was
# started stays for the next run.

# How long a Docker Engine may take to answer after its start; a cold one on two cores takes 3 to 8 s.
readonly DOCKER_START_SECONDS=60
# Where the log of an engine that this file started is kept; the engine keeps its own pid file.
readonly DOCKER_LOG=/var/log/mamba-dockerd.log

setup_started_us=${EPOCHREALTIME/[.,]/}
setup_apt_is_fresh=no
setup_cleanups=()
setup_child=

# Prints one progress line with the seconds since the script began.
step() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - setup_started_us) / 100000))
  printf '[%3d.%d s] %s\n' $((tenths / 10)) $((tenths % 10)) "$*"
}

# Prints what failed and ends the script.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Runs a command line when the script ends, however it ends; the last one given runs first.
at_exit() {
  setup_cleanups+=("$1")
}

setup_clean_up() {
  local status=$? index
  trap - EXIT
  trap '' INT TERM HUP
  if [[ -n $setup_child ]]; then
    kill -TERM -- "-$setup_child" 2>/dev/null || true
    wait "$setup_child" 2>/dev/null || true
  fi
  for ((index = ${#setup_cleanups[@]} - 1; index >= 0; index--)); do
    eval "${setup_cleanups[index]}" || true
  done
  exit "$status"
}
trap setup_clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command in a process group of its own and returns its status. When this script is ended
# meanwhile, the whole group is ended with it: killing cargo alone would leave its tests running.
run() {
  local status=0
  setsid "$@" &
  setup_child=$!
  wait "$setup_child" || status=$?
  setup_child=
  return "$status"
}

# Runs a command as root.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "\`$1\` needs root: run this script as root, or install sudo"
  fi
}

need_apt() {
  command -v apt-get >/dev/null ||
    die "this needs Debian or Ubuntu (apt-get was not found); install by hand: $*"
}

# Reads the package lists again, at most once a run.
refresh_package_lists() {
  [[ $setup_apt_is_fresh == no ]] || return 0
  step "reading Debian's package lists (apt-get update)"
  as_root apt-get -qq update >/dev/null || die "apt-get update failed: is the network there?"
  setup_apt_is_fresh=yes
}

is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# True when the package lists offer the package.
is_offered() {
  [[ -n $(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p') ]]
}

# Prints the first of the packages that this release offers, and fails when there is none. The lists
# are read again before giving up.
first_offered() {
  local package
  for package; do
    if is_offered "$package"; then
      echo "$package"
      return
    fi
  done
  refresh_package_lists >&2
  for package; do
    if is_offered "$package"; then
      echo "$package"
      return
    fi
  done
  die "none of these packages is offered by this release: $*"
}

# Installs the packages that are missing: `need_debian_packages "why" PACKAGE...`.
need_debian_packages() {
  local why=$1 package missing=()
  shift
  need_apt "$@"
  for package; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  refresh_package_lists
  step "installing ${missing[*]} from Debian's packages: $why"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install \
    --yes --no-install-recommends "${missing[@]}" >/dev/null ||
    die "could not install: ${missing[*]}"
}

docker_answers() {
  docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# Makes sure that a Docker Engine answers: installs it when it is absent, starts it when it is down.
need_docker() {
  if ! command -v dockerd >/dev/null && ! docker_answers; then
    need_debian_packages "the Docker Engine runs the game servers" docker.io iptables
  fi
  if ! command -v docker >/dev/null; then
    need_debian_packages "the command that speaks to the Docker Engine" \
      "$(first_offered docker-cli docker.io)"
  fi
  if ! docker_answers; then
    docker_may_be_started
    start_docker
  fi
  step "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
}

# Ends the script when the engine is there but not for this user, or is not ours to start.
docker_may_be_started() {
  local reason
  [[ -z ${DOCKER_HOST:-} ]] ||
    die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset the variable"
  reason=$(docker version 2>&1 >/dev/null || true)
  if [[ $reason == *"permission denied"* ]]; then
    die "the Docker Engine refuses user $(id -un): run this as root, or" \
      "\`sudo usermod -aG docker $(id -un)\` and log in again"
  fi
}

start_docker() {
  local deadline=$((SECONDS + DOCKER_START_SECONDS)) pid=
  if [[ $(</proc/1/comm) == systemd ]]; then
    step "starting the Docker Engine (systemctl start docker)"
    as_root systemctl start docker || die "systemctl could not start docker: journalctl -u docker"
  else
    need_cgroups
    step "starting the Docker Engine (dockerd, which stays when this script ends; log: $DOCKER_LOG)"
    # shellcheck disable=SC2016
    pid=$(as_root sh -c 'setsid dockerd </dev/null >>"$1" 2>&1 & echo $!' sh "$DOCKER_LOG")
  fi
  until docker_answers; do
    if ((SECONDS >= deadline)) || [[ -n $pid && ! -d /proc/$pid ]]; then
      docker_may_be_started
      [[ -z $pid ]] || as_root tail -n 5 "$DOCKER_LOG" >&2 || true
      [[ -z $pid || -d /proc/$pid ]] || die "the Docker Engine ended at once; log: $DOCKER_LOG"
      die "the Docker Engine did not answer within $DOCKER_START_SECONDS s"
    fi
    sleep 0.2
  done
}

# Mounts the control groups where no init system did; without them the engine does not start.
need_cgroups() {
  [[ ! -e /sys/fs/cgroup/cgroup.controllers && ! -d /sys/fs/cgroup/devices ]] || return 0
  need_debian_packages "the Docker Engine needs control groups, and nothing mounted them" \
    cgroupfs-mount
  as_root cgroupfs-mount
}

# Makes sure that cargo is there, as new as Cargo.toml asks, and that C code can be compiled.
# Takes the root of the work tree.
need_rust() {
  local root=$1 channel wanted version
  channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml")
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
  local rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal \
    --default-toolchain $channel -c rustfmt -c clippy"
  local advice="get it with:
  $rustup
  . \"\$HOME/.cargo/env\""

  if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
    PATH=$HOME/.cargo/bin:$PATH
  fi
  if ! command -v cargo >/dev/null; then
    need_debian_packages "Rust's own installer is fetched with it" curl ca-certificates
    step "installing Rust ($channel) for this user with its own installer, as Debian's is older"
    bash -o pipefail -c "$rustup" >&2 || die "Rust could not be installed; $advice"
    PATH=$HOME/.cargo/bin:$PATH
  fi
  version=$(cd "$root" && cargo --version 2>&1) ||
    die "cargo does not run: $version"$'\n'"$advice"
  version=${version#cargo }
  version=${version%% *}
  [[ $(printf '%s\n' "$wanted" "${version%%-*}" | sort -V | head -n 1) == "$wanted" ]] ||
    die "Rust $wanted or newer is needed and this is $version; $advice"
  command -v cc >/dev/null ||
    need_debian_packages "the TLS library has parts in C" gcc libc6-dev
  step "Rust $version"
}

# Makes sure that the standard library for the browser is there.
need_wasm() {
  local target=wasm32-unknown-unknown
  [[ ! -d $(rustc --print target-libdir --target "$target") ]] || return 0
  command -v rustup >/dev/null ||
    die "the standard library for $target is missing, and there is no rustup to add it with"
  step "adding the Rust target $target: the panel runs in the browser"
  run rustup target add "$target" || die "\`rustup target add $target\` failed; run it where there is network"
}

# Makes sure that npm is there: it gets what the panel takes from others, by a lock file.
need_npm() {
  command -v npm >/dev/null ||
    need_debian_packages "the panel's terminal and its packer come from npm" nodejs npm
}
