# shellcheck shell=bash
# Real servers that tests speak to: an OpenID Connect provider, an SMTP server and an image registry.
# They are installed once under target/ and started by the tests themselves.
#
# Meant to be sourced after setup.sh.

readonly SMTP_VERSION=1.4.6
# Who the registry lets in: `bot` with the password `c4nary?~word>`, as `htpasswd -Bbn` writes it.
# shellcheck disable=SC2016
readonly REGISTRY_ACCOUNT='bot:$2y$05$MambaHostPanelTestsXuul4fQahhRQE0Ca/WnT2bhOpXW1Tn8NYm'

# Installs npm's oauth2-mock-server as lib/oidc/package-lock.json pins it, and names its folder to the
# tests.
need_oidc() {
  local pins="$1/scripts/lib/oidc" folder="$1/target/oidc"
  if ! cmp -s "$pins/package-lock.json" "$folder/installed-lock.json"; then
    command -v npm >/dev/null ||
      need_debian_packages "a test signs in at a real OpenID Connect provider" nodejs npm
    step "installing oauth2-mock-server"
    mkdir -p "$folder"
    cp "$pins/package.json" "$pins/package-lock.json" "$folder/"
    (cd "$folder" && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
      die "npm could not install oauth2-mock-server"
    cp "$pins/package-lock.json" "$folder/installed-lock.json"
  fi
  export MAMBA_TEST_OIDC=$folder
}

# Installs PyPI's aiosmtpd and names its Python to the tests.
need_smtp() {
  local folder="$1/target/smtp"
  if [[ ! -x $folder/bin/aiosmtpd ]]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null ||
      need_debian_packages "a test sends mail to a real SMTP server" python3-venv
    step "installing aiosmtpd $SMTP_VERSION"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet "aiosmtpd==$SMTP_VERSION" || die "pip could not install aiosmtpd"
  fi
  export MAMBA_TEST_SMTP=$folder/bin/python
}

# Unpacks Debian's docker-registry and names its folder to the tests. It is not installed: the package
# starts a registry that is open to the network.
need_registry() {
  local folder="$1/target/registry" package
  if [[ ! -x $folder/docker-registry ]]; then
    need_apt docker-registry
    package=$(first_offered docker-registry)
    step "unpacking $package: a test pulls images out of a real registry"
    rm -rf "$folder"
    mkdir -p "$folder/package"
    (cd "$folder/package" && apt-get -qq -o APT::Sandbox::User=root download "$package" &&
      dpkg-deb --extract ./*.deb .) || die "$package could not be downloaded and unpacked"
    mv "$folder/package/usr/bin/docker-registry" "$folder/"
    rm -rf "$folder/package"
  fi
  printf '%s\n' "$REGISTRY_ACCOUNT" >"$folder/accounts"
  # Address and place of the images come from who starts it.
  cat >"$folder/config.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: ""}}
http: {addr: ""}
auth: {htpasswd: {realm: games, path: $folder/accounts}}
CONFIG
  export MAMBA_TEST_REGISTRY=$folder
}
