# shellcheck shell=bash disable=SC2034
about="Armagetron Advanced, a light cycle game"
packages=(armagetronad-dedicated)
start='armagetronad-dedicated'
ready='Bound socket to .*:4534'

finish() {
  # Debian's own script starts it as a system service that reads no console.
  cat >"$1/usr/games/armagetronad-dedicated" <<'SCRIPT'
#!/bin/sh
# Starts the server on the files below /home/container; the settings are in config/.
set -e
home=/home/container
mkdir -p "$home/config" "$home/var" "$home/data" "$home/resource"
exec /usr/games/armagetronad-dedicated.real \
  --datadir /usr/share/games/armagetronad --configdir /etc/armagetronad \
  --userdatadir "$home/data" --userconfigdir "$home/config" --vardir "$home/var" \
  --resourcedir /usr/share/games/armagetronad/resource --autoresourcedir "$home/resource" "$@"
SCRIPT
  chmod 755 "$1/usr/games/armagetronad-dedicated"
}
