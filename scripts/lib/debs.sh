# shellcheck shell=bash
# Debian packages as files: finds what a package needs to run, downloads and unpacks it. Nothing is
# installed on this machine, and no root is needed.

# Needed to install a package, never to run a game: with these taken as present, a closure holds the
# libraries and the data only (without perl, dpkg and the user database tools).
readonly DEBS_TAKEN_AS_PRESENT=(
  adduser debconf debianutils dpkg fontconfig-config init-system-helpers lsb-base passwd perl
  perl-base sysvinit-utils tar ucf x11-common xkb-data
)

# Prepares a directory in which the functions below may ask apt without touching its own state.
debs_prepare() {
  local scratch=$1 name
  mkdir -p "$scratch"
  for name in "${DEBS_TAKEN_AS_PRESENT[@]}"; do
    printf 'Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: none\nDescription: taken as present\n\n' "$name"
  done >"$scratch/status"
  debs_apt_options=(
    -qq
    -o Dir::State::status="$scratch/status"
    -o Dir::State::extended_states="$scratch/extended"
    -o Dir::Cache::pkgcache="$scratch/pkgcache.bin"
    -o Dir::Cache::srcpkgcache="$scratch/srcpkgcache.bin"
    -o Debug::NoLocking=1
    -o APT::Sandbox::User=root
  )
}

# Prints one line per package file that the packages need, themselves included, sorted:
# `file bytes hash`. Fails when apt cannot solve it.
debs_closure() {
  local solved
  solved=$(apt-get "${debs_apt_options[@]}" --simulate --no-install-recommends install "$@" |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p') || return 1
  [[ -n $solved ]] || return 1
  # shellcheck disable=SC2086
  apt-get "${debs_apt_options[@]}" download --print-uris $solved | sed "s/^'[^']*' //" | sort
}

# Downloads what is missing of a closure read from standard input into a directory, and checks each
# file against the hash that the signed package lists give.
debs_download() {
  local directory=$1 file bytes hash version missing=()
  mkdir -p "$directory"
  while read -r file bytes hash; do
    if ! debs_file_is_good "$directory/$file" "$bytes" "$hash"; then
      rm -f "$directory/$file"
      version=${file#*_}
      version=${version%_*}
      missing+=("${file%%_*}=${version//%3a/:}")
    fi
  done
  ((${#missing[@]})) || return 0
  step "  downloading ${#missing[@]} packages"
  (cd "$directory" && apt-get "${debs_apt_options[@]}" download "${missing[@]}")
}

debs_file_is_good() {
  local file=$1 bytes=$2 hash=$3
  [[ -f $file && $(stat -c %s "$file") == "$bytes" ]] || return 1
  case $hash in
    SHA256:*) echo "${hash#SHA256:}  $file" | sha256sum --quiet --check - 2>/dev/null ;;
    SHA512:*) echo "${hash#SHA512:}  $file" | sha512sum --quiet --check - 2>/dev/null ;;
    *) return 1 ;;
  esac
}

# Unpacks a closure read from standard input from a directory into a root file system, without what
# only a desktop or an init system reads. Licence texts stay.
debs_unpack() {
  local directory=$1 root=$2 file rest name
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
  for name in bin sbin lib lib64; do
    ln -sfn "usr/$name" "$root/$name"
  done
  while read -r file rest; do
    dpkg-deb --fsys-tarfile "$directory/$file" |
      tar -x -C "$root" --keep-directory-symlink --no-same-owner \
        --exclude='./usr/share/man' --exclude='./usr/share/info' --exclude='./usr/share/locale' \
        --exclude='./usr/share/lintian' --exclude='./usr/share/bug' --exclude='./usr/share/icons' \
        --exclude='./usr/share/applications' --exclude='./usr/share/pixmaps' \
        --exclude='./usr/share/doc-base' --exclude='./usr/share/metainfo' \
        --exclude='./usr/share/menu' --exclude='./etc/init.d' --exclude='./etc/logrotate.d' \
        --exclude='./etc/cron.*' --exclude='./lib/systemd' --exclude='./usr/lib/systemd' ||
      return 1
  done
  find "$root/usr/share/doc" -mindepth 2 ! -type d ! -name copyright -delete 2>/dev/null || true
  find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete 2>/dev/null || true
}
