# The deepest stack of a linked program, from its frame sizes and its calls.
#
#   (llvm-readobj --stack-sizes ELF; llvm-objdump -d --no-show-raw-insn ELF) |
#       awk -v entry=NAME,NAME -v skip=PATTERN -f stack.awk
#
# Functions that are called through pointers (checksums, classes of errors) count with the largest frame of those that no
# instruction calls, but for names with the pattern. Prints the bytes and the path; exits with 1 where a call comes back to its caller (recursion).

/^ *Functions: \[/ { name = $0; sub(/.*\[/, "", name); sub(/\].*/, "", name) }
/^ *Size: 0x/ { size[name] = hex($2) }

/^[0-9a-f]+ <.*>:$/ { at = $0; sub(/^[0-9a-f]+ </, "", at); sub(/>:$/, "", at); known[at] = 1 }
/\t(bl|b|b\.w|beq\.w|bne\.w|blo\.w|bhs\.w)\t/ && /<[^+>]*>/ {
    to = $0; sub(/.*</, "", to); sub(/>.*/, "", to)
    if (to != at) { calls[at] = calls[at] " " to; called[to] = 1 }
}
/\tblx\tr/ { indirect[at] = 1 }

function hex(text,    value, index_) {
    value = 0
    for (index_ = 3; index_ <= length(text); index_++)
        value = value * 16 + index("0123456789abcdef", tolower(substr(text, index_, 1))) - 1
    return value
}

function deepest(of,    list, count, index_, below, best) {
    if (of in done) return done[of]
    if (of in open) { print "recursion: " of > "/dev/stderr"; failed = 1; return 0 }
    open[of] = 1
    best = (of in indirect) ? pointed : 0
    count = split(calls[of], list, " ")
    for (index_ = 1; index_ <= count; index_++) {
        below = deepest(list[index_])
        if (below > best) { best = below; next_[of] = list[index_] }
    }
    delete open[of]
    done[of] = best + size[of]
    return done[of]
}

END {
    for (one in known) if (!(one in called) && one !~ skip && size[one] > pointed) pointed = size[one]
    count = split(entry, roots, ",")
    for (root = 1; root <= count; root++) {
        printf "%6d bytes below %s\n", deepest(roots[root]), roots[root]
        for (step = roots[root]; step != ""; step = next_[step])
            printf "       %6d %s\n", size[step], step
    }
    exit failed
}
