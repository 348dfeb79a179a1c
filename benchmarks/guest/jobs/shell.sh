# 200 times: an external program, and a command substitution with a pipeline. Run by dash and again by bash.
i=0
while [ $i -lt 200 ]; do
	/bin/true
	x=$(echo hi | cat)
	[ "$x" = hi ] || exit 1
	i=$((i + 1))
done
