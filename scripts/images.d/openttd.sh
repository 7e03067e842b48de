# shellcheck shell=bash disable=SC2034
about="OpenTTD, a transport simulation"
packages=(openttd openttd-opengfx)
start='openttd -D -c openttd.cfg -g save/autosave/exit.sav'
ready='Map generated, starting game'
