# shellcheck shell=bash disable=SC2034
about="a shell and nothing else, for tests"
packages=()
start='sh -c "echo alive; sleep 60"'
ready='^alive$'
