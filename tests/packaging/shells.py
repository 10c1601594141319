# SPDX-License-Identifier: Apache-2.0
"""bash, zsh and fish with the completions of data/completions: what each offers for a line, and what it makes of a line at TAB.

Each class has offers(LINE), a sorted list of what may stand in the place of the last word (without the descriptions), and
complete(LINE), the line after one TAB. bash and zsh are interactive ones on a terminal of their own; at control-T they
write the line to a file, and begin anew.
"""
import os
import select
import shutil
import subprocess
import time

SECONDS = 60
TELL = "\x14"


class Terminal:
    """A shell that writes what it is asked to the file 'told', each answer followed by a line '.'."""

    def __init__(self, command, setup, env, cwd):
        self.told = os.path.join(env["HOME"], "told")
        open(self.told, "w", encoding="utf-8").close()
        self.at = 0
        self.master, slave = os.openpty()
        self.process = subprocess.Popen([shutil.which(command[0])] + command[1:], stdin=slave, stdout=slave, stderr=slave, env=dict(env, TOLD=self.told), cwd=cwd,
                                        start_new_session=True)
        os.close(slave)
        self.seen = b""
        with open(os.path.join(env["HOME"], "setup"), "w", encoding="utf-8") as file:
            file.write(setup)
        self.type(". ~/setup\n")
        self.answer()

    def type(self, text):
        os.write(self.master, text.encode())

    def answer(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.002)[0]:
                self.seen += os.read(self.master, 65536)
            with open(self.told, encoding="utf-8") as file:
                file.seek(self.at)
                text = file.read()
            if text == ".\n" or text.endswith("\n.\n"):
                self.at += len(text.encode())
                return text.splitlines()[:-1]
        raise RuntimeError("no answer; on the terminal was: %r" % self.seen[-2000:])

    def complete(self, line):
        self.type(line + "\t" + TELL)
        lines = self.answer()
        return [text[5:] for text in lines if text.startswith("LINE ")][0]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


class Bash(Terminal):
    SETUP = r"""PS1=; set +o history; bind 'set bell-style none' 'set completion-query-items 0' 'set page-completions off'
source "$COMPLETIONS/xtsfs.bash"
told() { printf 'LINE %s\n.\n' "$READLINE_LINE" >>"$TOLD"; READLINE_LINE= READLINE_POINT=0; }
bind -x '"\C-t": told'
echo . >>"$TOLD"
"""
    # What readline itself offers, the function leaves to it: files and directories.
    OFFERS = r"""
source "$COMPLETIONS/xtsfs.bash"
compopt() { :; }
while IFS= read -r line; do
	line=${line//=/ = }
	read -ra COMP_WORDS <<<"$line"
	case $line in *' ') COMP_WORDS+=('') ;; esac
	[ "${COMP_WORDS[-1]}" != '' ] || [ "${COMP_WORDS[-2]}" != = ] || unset 'COMP_WORDS[-1]'
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_xtsfs "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
	printf '%s\n' "${COMPREPLY[@]}" .
done
"""

    def __init__(self, env, cwd):
        super().__init__(["bash", "--norc", "--noprofile", "-i"], self.SETUP, env, cwd)
        self.asked = subprocess.Popen([shutil.which("bash"), "-c", self.OFFERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd,
                                      universal_newlines=True)

    def offers(self, line):
        self.asked.stdin.write(line + "\n")
        self.asked.stdin.flush()
        found = []
        while True:
            word = self.asked.stdout.readline()
            if word in (".\n", ""):
                return sorted(found)
            if word != "\n":
                found.append(word.rstrip("\n"))

    def close(self):
        super().close()
        self.asked.stdin.close()
        self.asked.wait()


class Zsh(Terminal):
    # compadd is asked first what of its words fits; those are the offers.
    SETUP = r"""PS1= PROMPT_EOL_MARK=; unsetopt beep; setopt no_list_ambiguous no_always_last_prompt; bindkey -e; LISTMAX=10000
fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -d $HOME/zcompdump
compadd() {
	local -a hits
	if [[ ${@[1,(i)(-|--)]} != *-[OAD]\ * ]]; then
		builtin compadd -A hits "$@"
		(( ! $#hits )) || print -rl -- "OFFER "$^hits >>$TOLD
	fi
	builtin compadd "$@"
}
told() { print -r -- "LINE $BUFFER" >>$TOLD; print . >>$TOLD; zle kill-whole-line; zle -R }
zle -N told; bindkey '^T' told
print . >>$TOLD
"""

    def __init__(self, env, cwd):
        super().__init__(["zsh", "-f", "-i"], self.SETUP, env, cwd)

    def offers(self, line):
        self.type(line + "\t" + TELL)
        return sorted({text[6:] for text in self.answer() if text.startswith("OFFER ")})


class Fish:
    SETUP = """source $COMPLETIONS/xtsfs.fish
while read --line line
    complete -C $line
    echo .
end
"""

    def __init__(self, env, cwd):
        self.asked = subprocess.Popen([shutil.which("fish"), "--no-config", "-c", self.SETUP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                                      cwd=cwd, universal_newlines=True)

    def offers(self, line):
        self.asked.stdin.write(line + "\n")
        self.asked.stdin.flush()
        found = set()
        while True:
            word = self.asked.stdout.readline()
            if word in (".\n", ""):
                return sorted(found)
            found.add(word.rstrip("\n").split("\t")[0])

    def complete(self, line):
        """As TAB does where there is one offer: it takes the place of the last word."""
        offers = self.offers(line)
        if len(offers) != 1:
            return line
        word = offers[0].replace(" ", "\\ ")
        return line[:len(line) - len(last_word(line))] + word

    def close(self):
        self.asked.stdin.close()
        self.asked.wait()


def last_word(line):
    return line.replace("\\ ", "\0\0").split(" ")[-1].replace("\0\0", "\\ ")


SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}
