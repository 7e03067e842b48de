# shellcheck shell=bash disable=SC2034
about="Minetest, a voxel game"
packages=("minetest-server|luanti-server")
start='minetestserver --logfile "" --world world --gameid minetest'
ready='listening on .*:30000'

finish() {
  local tree=$1
  # The server was renamed; a start line that worked once goes on working.
  [[ -e $tree/usr/games/minetestserver ]] || ln -s luantiserver "$tree/usr/games/minetestserver"
  # It warns at each start when there is no such directory.
  mkdir -p "$tree/usr/share/locale"
}
