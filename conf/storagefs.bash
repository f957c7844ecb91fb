# bash completion for storagefs(1)

# Prints the storages of the mount at $1, one a line.
_storagefs_storages() {
    local path
    for path in "$1"/*/; do
        path=${path%/}
        path=${path##*/}
        [ "$path" = default ] || [ "$path" = '*' ] || echo "$path"
    done
}

# Prints the directories that storagefs is mounted at.
_storagefs_mounts() {
    local _ mount type rest
    while read -r _ mount type rest; do
        [ "$type" = fuse.storagefs ] && printf '%b\n' "$mount"
    done </proc/mounts
}

_storagefs_complete() {
    mapfile -t COMPREPLY < <(compgen "$@")
}

_storagefs() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local subcommand=${COMP_WORDS[1]} index=2 mount=
    COMPREPLY=()

    if [ "$COMP_CWORD" -eq 1 ]; then
        _storagefs_complete -W 'mount umount default status sync uploads check reload --help -h --version -V' -- "$current"
        return
    fi
    case $previous in
    -c) compopt -o filenames && _storagefs_complete -f -- "$current" && return ;;
    --accept-moved) return ;;
    --export) compopt -o filenames && _storagefs_complete -d -- "$current" && return ;;
    -o)
        _storagefs_complete -W 'ro allow_other default_permissions uid= gid= umask= nosuid nodev noexec nopassthrough' -- "$current"
        return
        ;;
    esac
    while [ $index -lt "$COMP_CWORD" ]; do
        case ${COMP_WORDS[index]} in -*) ;; *) mount=${COMP_WORDS[index]} ;; esac
        index=$((index + 1))
    done
    case $subcommand:$current in
    mount:-*) _storagefs_complete -W '-c -f -o --accept-moved --help' -- "$current" ;;
    umount:-*) _storagefs_complete -W '--force --help' -- "$current" ;;
    status:-*) _storagefs_complete -W '--json --watch --help' -- "$current" ;;
    uploads:-*) _storagefs_complete -W '--retry --export --drop --help' -- "$current" ;;
    check:-*) _storagefs_complete -W '-c --help' -- "$current" ;;
    *:-*) _storagefs_complete -W '--help' -- "$current" ;;
    mount:*) compopt -o filenames && _storagefs_complete -d -- "$current" ;;
    default:*)
        if [ -n "$mount" ]; then
            _storagefs_complete -W "$(_storagefs_storages "$mount")" -- "$current"
        else
            _storagefs_complete -W "$(_storagefs_mounts)" -- "$current"
        fi
        ;;
    umount:* | status:* | sync:* | uploads:* | reload:*)
        _storagefs_complete -W "$(_storagefs_mounts)" -- "$current"
        ;;
    esac
}

complete -F _storagefs storagefs
