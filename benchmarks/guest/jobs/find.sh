# Walk and read /usr: find, du, tar, grep -r.
set -e
[ "$(find /usr -type f | wc -l)" -gt 1000 ]
du -s /usr
tar -C / -cf - usr/share/perl usr/share/perl5 usr/include | cat > /dev/null
grep -r -l SOCK_STREAM /usr/include > /dev/null
