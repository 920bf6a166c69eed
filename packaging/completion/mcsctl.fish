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
        else if contains -- $word --config --container --engine --file --group --ignore --inodes --isolated --kind --known --level --lines --log --name --path --pid --priority --severity --since --socket --state --timeout --type --unit --until --volume -n
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
complete -c mcsctl -l json -d 'print JSON, most of it the API'\''s own objects'
complete -c mcsctl -l version -d 'show program'\''s version number and exit'
complete -c mcsctl -n __fish_use_subcommand -a status -d 'show everything at one glance'
complete -c mcsctl -n __fish_use_subcommand -a containers -d 'list containers and whether they are isolated'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -s q -l quiet -d 'print names only, one on a line'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l state -x -a 'reserved active idle quarantined none' -d 'only in this state'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l level -x -d 'only at this level, however it is spelled'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l isolated -x -a 'yes no none' -d 'yes, no, or none (it does not run, starts or ends)'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l path -r -F -d 'only with a volume at or below this host path'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l conflicts -d 'only in conflict with another holder'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l weakened -d 'only with a mount that weakens everybody'\''s isolation'
complete -c mcsctl -n '__fish_seen_subcommand_from containers' -l failed -d 'only those that could not be handled'
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
complete -c mcsctl -n __fish_use_subcommand -a scan -d 'look for files outside every volume that carry a level'
complete -c mcsctl -n '__fish_seen_subcommand_from scan' -l background -d 'begin it, slowly, and do not wait for it'
complete -c mcsctl -n '__fish_seen_subcommand_from scan' -l status -d 'only show what was found, and how far a scan is'
complete -c mcsctl -n __fish_use_subcommand -a reserve -d 'set a level aside for a container to come'
complete -c mcsctl -n '__fish_seen_subcommand_from reserve' -l group -x -d 'let it reach this group'\''s volumes too'
complete -c mcsctl -n '__fish_seen_subcommand_from reserve' -l pid -x -d 'until this process ends'
complete -c mcsctl -n '__fish_seen_subcommand_from reserve' -l unit -x -d 'until this unit of systemd'\''s is not active any more'
complete -c mcsctl -n '__fish_seen_subcommand_from reserve' -l until -x -d 'until this time, or for this long'
complete -c mcsctl -n __fish_use_subcommand -a run -d 'run a command at a level of its own'
complete -c mcsctl -n '__fish_seen_subcommand_from run' -l name -x -d 'a name for it'
complete -c mcsctl -n '__fish_seen_subcommand_from run' -l group -x -d 'let it reach this group'\''s volumes too'
complete -c mcsctl -n '__fish_seen_subcommand_from run' -l type -x -d 'its domain'
complete -c mcsctl -n '__fish_seen_subcommand_from run' -l volume -x -d 'label this directory or file for it'
complete -c mcsctl -n __fish_use_subcommand -a gate -d 'have an engine start containers through mcsd, or not'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l engine -x -d 'of which engine'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l hook -d 'a hook of Podman'\''s, where its runtime must stay'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l dry-run -d 'only show the change'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l reload -d 'have the engine reload, and see that it did'
complete -c mcsctl -n '__fish_seen_subcommand_from gate' -l file -r -F -d 'the engine'\''s file, unless it is the usual one'
complete -c mcsctl -n '__mcsctl_position gate 0' -a 'enable disable status'
complete -c mcsctl -n __fish_use_subcommand -a fleet -d 'keep hosts apart that mount the same labelled storage'
complete -c mcsctl -n '__fish_seen_subcommand_from fleet' -l config -x -d 'how to reach the store, /etc/mcsd/fleet.toml unless given'
complete -c mcsctl -n '__fish_seen_subcommand_from fleet' -l gone -d 'evict'
complete -c mcsctl -n '__mcsctl_position fleet 0' -a 'plan status init admit evict recover open'
complete -c mcsctl -n __fish_use_subcommand -a why -d 'say why something was denied, and what to do'
complete -c mcsctl -n '__fish_seen_subcommand_from why' -s f -l follow -d 'go on with what is denied'
complete -c mcsctl -n '__fish_seen_subcommand_from why' -l since -x -d 'how long back'
complete -c mcsctl -n '__fish_seen_subcommand_from why' -s n -l lines -x -d 'at most so many kinds of denials (10)'
complete -c mcsctl -n '__fish_seen_subcommand_from why' -l tell -d 'follow'
complete -c mcsctl -n '__fish_seen_subcommand_from why' -l log -x -d 'auditd'\''s log, /var/log/audit/audit.log unless given'
complete -c mcsctl -n '__mcsctl_position why 0' -a '(__mcsctl_ask containers) (__mcsctl_ask volumes)'
complete -c mcsctl -n __fish_use_subcommand -a audit -d 'look at what else is open on this host'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -s q -l quiet -d 'print the keys of findings only'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l sarif -d 'print SARIF 2.1.0, as programs that collect findings read it'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l all -d 'look at containers that do not run, too'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l severity -x -a 'critical high medium low' -d 'only this and worse'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l ignore -x -d 'accept these findings, and say why'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l inodes -x -d 'look at so many in each volume at most'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l known -x -d 'print only what is not in this file, and write it anew'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l tell -d 'tell mcsd as well, for its socket and Cockpit'
complete -c mcsctl -n '__fish_seen_subcommand_from audit' -l config -x -d 'mcsd'\''s configuration, /etc/mcsd/mcsd.toml unless given'
complete -c mcsctl -n '__mcsctl_position audit 0' -a '(__mcsctl_ask containers)'
complete -c mcsctl -n __fish_use_subcommand -a release -d 'give a reserved level up'
