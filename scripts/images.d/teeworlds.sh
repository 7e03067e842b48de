# shellcheck shell=bash disable=SC2034
about="Teeworlds, a side-scrolling shooter"
packages=(teeworlds-server)
start='as-child teeworlds-server "sv_register 0"'
ready='\[server\]: version 0\.[67]'
