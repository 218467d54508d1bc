#!/bin/sh
# Installs the adapter from this folder; no network is used.
#
#   ./install.sh [--prefix DIR] [--root DIR]
#
# --prefix  where the programs and their documents go; /usr/local by default
# --root    a folder that stands for / (an image, or a try without root's rights): files are put below it, and neither
#           a user is made nor systemd told
#
# May be run again, also with a newer kit: programs are replaced whole, configurations and state are never touched.
set -eu
fail() { echo "install.sh: $*" >&2; exit 1; }

prefix=/usr/local root=
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix names a folder}; shift ;;
    --root) root=${2:?--root names a folder}; shift ;;
    *) fail "usage: ./install.sh [--prefix DIR] [--root DIR]" ;;
  esac
  shift
done
case $prefix in /*) ;; *) fail "--prefix must begin with /" ;; esac
case $prefix in *[!A-Za-z0-9/._-]*) fail "--prefix may have letters, digits and ./_- only" ;; esac
[ -z "$root" ] || { mkdir -p "$root"; root=$(cd "$root" && pwd); }
cd "$(dirname "$0")"

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || fail "this kit is for Linux x86_64"
[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail "run it as root, or with --root for a try"
sha256sum --check --strict --quiet SHA256SUMS || fail "a file is not as it was packed: get the kit again"
bin/weft --version >/dev/null || fail "the program does not start here: see the line above"

share=$prefix/share/weft
mkdir -p "$root$prefix/bin" "$root$share" "$root/etc/weft" "$root/etc/systemd/system"
put() { # from, to, mode: there whole, or as it was
  cp "$1" "$2.new"
  chmod "$3" "$2.new"
  mv "$2.new" "$2"
}
for program in bin/*; do put "$program" "$root$prefix/$program" 755; done
for folder in schemas departments samples docs; do
  rm -rf "${root:?}$share/$folder.new"
  cp -r "$folder" "$root$share/$folder.new"
  rm -rf "${root:?}$share/$folder"
  mv "$root$share/$folder.new" "$root$share/$folder"
done
for file in sbom.cdx.json SHA256SUMS README.txt LICENSE*; do
  [ ! -e "$file" ] || put "$file" "$root$share/$file" 644
done
unit=/etc/systemd/system/weft-adapter@.service
sed "s|@PREFIX@|$prefix|g" systemd/weft-adapter@.service >"$root$unit.new"
chmod 644 "$root$unit.new"
mv "$root$unit.new" "$root$unit"

if [ -z "$root" ]; then
  id weft >/dev/null 2>&1 || useradd --system --user-group --home-dir /var/lib/weft --shell /usr/sbin/nologin weft
  chown root:weft /etc/weft
  chmod 750 /etc/weft
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi

cat <<TEXT
installed: $root$prefix/bin/weft ($(bin/weft --version))
已安装。下一步见 $root$share/docs/adapters.md
next: $root$share/docs/adapters.md
TEXT
