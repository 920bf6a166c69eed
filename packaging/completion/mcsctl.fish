# Made by packaging/generate-completion from mcsctl's own parser: change it there.
function __mcsctl_ask
    set -l socket
    set -l words (commandline -opc)
    if set -l i (contains -i -- --socket $words)
        set socket --socket $words[(math $i + 1)]
    end
    mcsctl $socket $argv[1] -q 2>/dev/null
end
function __mcsctl_position
    # How many arguments of the command stand before the cursor.
    set -l words (commandline -opc)
    set -l count 0
    set -l skip 0
    set -l command ''
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --container --file --group --isolated --kind --level --lines --path --priority --socket --state --timeout -n
            set skip 1
        else if not string match -q -- '-*' $word
            if test -z $command
                set command $word
            else
                set count (math $count + 1)
            end
        end
    end
    test "$command" = $argv[1]; and test $count = $argv[2]
end
complete -c mcsctl -f
complete -c mcsctl -s h -l help -d 'show this help message and exit'
complete -c mcsctl -l socket -r -F -d 'the daemon'\''s socket (/run/mcsd/mcsd.sock)'
complete -c mcsctl -l json -d 'print the API'\''s own objects'
complete -c mcsctl -l version -d 'show program'\''s version number and exit'
complete -c mcsctl -n __fish_use_subcommand -a status -d 'show everything at one glance'
complete -c mcsctl -n __fish_use_subcommand -a containers -d 'list containers and whether they are isolated'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -s q -l quiet -d 'print names only, one on a line'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l state -x -a 'reserved active idle quarantined none' -d 'only in this state'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l level -x -d 'only at this level, however it is spelled'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l isolated -x -a 'yes no none' -d 'yes, no, or none (it does not run)'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l path -r -F -d 'only with a volume at or below this host path'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l conflicts -d 'only in conflict with another holder'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l failed -d 'only those that could not be looked after'
complete -c mcsctl -n __fish_use_subcommand -a volumes -d 'list volumes and how their labels stand'
complete -c mcsctl -n '__fish_seen_subcommand_from volumes' -s q -l quiet -d 'print paths only, one on a line'
complete -c mcsctl -n '__fish_seen_subcommand_from volumes' -l state -x -a 'pending ready partial refused failed unmanaged lingering restoring stranded' -d 'only in this state'
complete -c mcsctl -n '__fish_seen_subcommand_from volumes' -l level -x -d 'only at this level, however it is spelled'
complete -c mcsctl -n '__fish_seen_subcommand_from volumes' -l path -r -F -d 'only at or below this host path'
complete -c mcsctl -n '__fish_seen_subcommand_from volumes' -l container -x -a '(__mcsctl_ask containers)' -d 'only claimed by this container'
complete -c mcsctl -n __fish_use_subcommand -a pairs -d 'list levels and who holds them'
complete -c mcsctl -n '__fish_seen_subcommand_from pairs' -s q -l quiet -d 'print levels only, one on a line'
complete -c mcsctl -n '__fish_seen_subcommand_from pairs' -l state -x -a 'reserved active idle quarantined group foreign' -d 'only in this state'
complete -c mcsctl -n '__fish_seen_subcommand_from pairs' -l level -x -d 'only at this level, however it is spelled'
complete -c mcsctl -n __fish_use_subcommand -a booleans -d 'list booleans, or hold one'
complete -c mcsctl -n '__mcsctl_position booleans 1' -a 'on off configured'
complete -c mcsctl -n __fish_use_subcommand -a show -d 'show all about one container'
complete -c mcsctl -n '__mcsctl_position show 0' -a '(__mcsctl_ask containers)'
complete -c mcsctl -n __fish_use_subcommand -a events -d 'list what happened, oldest first'
complete -c mcsctl -n '__fish_seen_subcommand_from events' -s f -l follow -d 'go on with what happens'
complete -c mcsctl -n '__fish_seen_subcommand_from events' -s n -l lines -x -d 'at most so many to begin with (50)'
complete -c mcsctl -n '__fish_seen_subcommand_from events' -l container -x -a '(__mcsctl_ask containers)' -d 'only about this container'
complete -c mcsctl -n '__fish_seen_subcommand_from events' -l kind -x -d 'only of this kind, such as volume-refused'
complete -c mcsctl -n '__fish_seen_subcommand_from events' -l priority -x -a '0 1 2 3 4 5 6 7' -d 'only this and more important'
complete -c mcsctl -n __fish_use_subcommand -a wait -d 'wait until a container'\''s volumes are ready'
complete -c mcsctl -n '__fish_seen_subcommand_from wait' -l timeout -x -d 'give up after so many seconds'
complete -c mcsctl -n '__mcsctl_position wait 0' -a '(__mcsctl_ask containers)'
complete -c mcsctl -n __fish_use_subcommand -a verify -d 'compare disk, processes and ledger'
complete -c mcsctl -n '__fish_seen_subcommand_from verify' -l repair -d 'label again what differs'
complete -c mcsctl -n '__mcsctl_position verify 0' -a '(__mcsctl_ask containers) (__mcsctl_ask volumes)'
complete -c mcsctl -n __fish_use_subcommand -a restore -d 'put a volume'\''s original labels back'
complete -c mcsctl -n '__mcsctl_position restore 0' -a '(__mcsctl_ask volumes)'
complete -c mcsctl -n __fish_use_subcommand -a reserve -d 'set a level aside for a container to come'
complete -c mcsctl -n '__fish_seen_subcommand_from reserve' -l group -x -d 'let it reach this group'\''s volumes too'
complete -c mcsctl -n __fish_use_subcommand -a gate -d 'have Docker start containers through mcsd, or not'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l dry-run -d 'only show the change'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l reload -d 'have Docker reload, and see that it did'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l file -r -F -d 'Docker'\''s file, /etc/docker/daemon.json unless given'
complete -c mcsctl -n '__mcsctl_position gate 0' -a 'enable disable status'
complete -c mcsctl -n __fish_use_subcommand -a release -d 'give a reserved level up'
