# shellcheck shell=bash
# The real SMTP server that tests speak to. It is installed once under target/ and started by the tests
# themselves.
#
# Meant to be sourced after setup.sh.

readonly SMTP_VERSION=1.4.6

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
