# A repository of 300 files: init, add, commit, status, log, clone.
set -e
export HOME=/tmp GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
rm -rf /tmp/git && mkdir /tmp/git && cd /tmp/git
git init -q one && cd one
i=0
while [ $i -lt 300 ]; do
	echo "line $i" > file$i
	i=$((i + 1))
done
git add .
git commit -q -m first
git status --short
git log --stat > /dev/null
cd .. && git clone -q one two
[ -f two/file299 ]
