# need_program.sh NAME PACKAGES COMMAND... : find one of the commands, or install Debian's packages.
# Without the program its tests can't run; where CI is set that is a failure here.
set -eu
name=$1 packages=$2
shift 2
[ "$name" = Chromium ] && [ -n "${CHROMIUM:-}" ] && exit 0
for command; do
    if command -v "$command" >/dev/null; then exit 0; fi
done

cannot() {
    echo "$name is not here and $1; install it yourself ($packages): its tests can't run without."
    [ -z "${CI:-}" ]
    exit
}
command -v apt-get >/dev/null || cannot "there is no apt-get to install it with"
[ "$(id -u)" = 0 ] || cannot "only root may install it"
echo "Installing $name (apt-get install $packages) ..."
log=$(mktemp)
{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y $packages; } >"$log" 2>&1 </dev/null ||
    { tail -5 "$log"; cannot "apt-get could not install it"; }
rm "$log"
