# Made by packaging/generate-completion from mcsctl's own parser: change it there.
_mcsctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command= position=0 word i socket=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --socket) i=$((i + 1)); socket=(--socket "${COMP_WORDS[i]}") ;;
            --config|--container|--engine|--file|--group|--ignore|--inodes|--isolated|--kind|--known|--level|--lines|--log|--name|--path|--pid|--priority|--severity|--since|--state|--timeout|--type|--unit|--until|--volume|-n) i=$((i + 1)) ;;
            -*) ;;
            *) if [[ -z $command ]]; then command=$word; else position=$((position + 1)); fi ;;
        esac
    done
    COMPREPLY=()
    local IFS=$'\n' wanted=
    case "$command $prev" in
        *" --socket") compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "containers --state") wanted='words reserved active idle quarantined none' ;;
        "containers --level") wanted='none' ;;
        "containers --isolated") wanted='words yes no none' ;;
        "containers --path") wanted='files' ;;
        "volumes --state") wanted='words pending ready partial refused failed unmanaged lingering restoring stranded' ;;
        "volumes --level") wanted='none' ;;
        "volumes --path") wanted='files' ;;
        "volumes --container") wanted='containers' ;;
        "pairs --state") wanted='words reserved active idle quarantined group foreign' ;;
        "pairs --level") wanted='none' ;;
        "events -n"|"events --lines") wanted='none' ;;
        "events --container") wanted='containers' ;;
        "events --kind") wanted='none' ;;
        "events --priority") wanted='words 0 1 2 3 4 5 6 7' ;;
        "wait --timeout") wanted='none' ;;
        "reserve --group") wanted='none' ;;
        "reserve --pid") wanted='none' ;;
        "reserve --unit") wanted='none' ;;
        "reserve --until") wanted='none' ;;
        "run --name") wanted='none' ;;
        "run --group") wanted='none' ;;
        "run --type") wanted='none' ;;
        "run --volume") wanted='none' ;;
        "gate --engine") wanted='none' ;;
        "gate --file") wanted='files' ;;
        "fleet --config") wanted='none' ;;
        "why --since") wanted='none' ;;
        "why -n"|"why --lines") wanted='none' ;;
        "why --log") wanted='none' ;;
        "audit --severity") wanted='words critical high medium low' ;;
        "audit --ignore") wanted='none' ;;
        "audit --inodes") wanted='none' ;;
        "audit --known") wanted='none' ;;
        "audit --config") wanted='none' ;;
    esac
    if [[ -z $wanted && $cur == -* ]]; then
        case $command in
            status) wanted='words -h --help --socket --json' ;;
            containers) wanted='words -h --help --socket --json -q --quiet --state --level --isolated --path --conflicts --weakened --failed' ;;
            volumes) wanted='words -h --help --socket --json -q --quiet --state --level --path --container' ;;
            pairs) wanted='words -h --help --socket --json -q --quiet --state --level' ;;
            booleans) wanted='words -h --help --socket --json' ;;
            show) wanted='words -h --help --socket --json' ;;
            events) wanted='words -h --help --socket --json -f --follow -n --lines --container --kind --priority' ;;
            wait) wanted='words -h --help --socket --json --timeout' ;;
            verify) wanted='words -h --help --socket --json --repair' ;;
            restore) wanted='words -h --help --socket --json' ;;
            scan) wanted='words -h --help --socket --json --background --status' ;;
            reserve) wanted='words -h --help --socket --json --group --pid --unit --until' ;;
            run) wanted='words -h --help --socket --json --name --group --type --volume' ;;
            gate) wanted='words -h --help --socket --json --engine --hook --dry-run --reload --file' ;;
            fleet) wanted='words -h --help --socket --json --config --gone' ;;
            why) wanted='words -h --help --socket --json -f --follow --since -n --lines --tell --log' ;;
            audit) wanted='words -h --help --socket --json -q --quiet --sarif --all --severity --ignore --inodes --known --tell --config' ;;
            release) wanted='words -h --help --socket --json' ;;
            *) wanted='words -h --help --socket --json --version' ;;
        esac
    elif [[ -z $wanted ]]; then
        case "$command $position" in
            " 0") wanted='words status containers volumes pairs booleans show events wait verify restore scan reserve run gate fleet why audit release' ;;
            "booleans 1") wanted='words on off configured' ;;
            "show 0") wanted='containers' ;;
            "wait 0") wanted='containers' ;;
            "verify 0") wanted='containers volumes' ;;
            "restore 0") wanted='volumes' ;;
            "scan 0") wanted='files' ;;
            "gate 0") wanted='words enable disable status' ;;
            "fleet 0") wanted='words plan status init admit evict recover open' ;;
            "why 0") wanted='containers volumes' ;;
            "audit 0") wanted='containers' ;;
        esac
    fi
    local source
    IFS=' '
    case $wanted in
        words\ *) COMPREPLY=($(compgen -W "${wanted#words }" -- "$cur")); return ;;
    esac
    local found=()
    for source in $wanted; do
        IFS=$'\n'
        case $source in
            files) found+=($(compgen -f -- "$cur")) ;;
            *) found+=($(mcsctl "${socket[@]}" "$source" -q 2>/dev/null)) ;;
        esac
        IFS=' '
    done
    [[ $wanted == *files* || $wanted == *volumes* ]] && compopt -o filenames 2>/dev/null
    for word in "${found[@]}"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}
complete -F _mcsctl mcsctl
