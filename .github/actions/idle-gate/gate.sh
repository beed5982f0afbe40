#!/usr/bin/env bash
# What the action does: compare, check, comment, keep. Everything that it is told comes in variables
# (GATE_*), never as text of this script. tests/test_idle_gate.py runs it.
set -uo pipefail

kept=${GATE_KEPT:-.idle-gate} # the recording and the history of the base branch
report=${RUNNER_TEMP:-/tmp}/idle-gate-$GATE_NAME
marker="<!-- idle-gate: $GATE_NAME -->" # by which the comment of before is found again
is_pull_request=${GATE_PULL_REQUEST:-}

# the folder of an earlier run on this machine is ours, by its marker
if [[ -e $report && ! -e $report/.idle-gate ]]; then
  echo "idle-gate: $report is there and is no report of idle-gate: it is left as it is" >&2
  exit 2
fi
rm -rf "$report"
mkdir -p "$report" "$kept"
touch "$report/.idle-gate"

base=${GATE_BASE:-}
if [[ -z $base ]]; then
  base=$(find "$kept" -mindepth 1 -maxdepth 1 -name 'base*' -print -quit)
fi

# 1. compare: Markdown for people; what cannot be compared is said in it
{
  echo "$marker"
  echo
  if [[ -n $base ]]; then
    idlescope compare "$base" "$GATE_TRACE" --markdown 2> "$report/compare.err" \
      || { echo "### idlescope"; echo; echo "The recordings cannot be compared:"; echo; sed 's/^/    /' "$report/compare.err"; }
  else
    echo "### idlescope"
    echo
    echo "There is no recording of the base branch yet: the next run on it keeps one."
  fi
  echo
} > "$report/report.md"

# 2. check: the limits, the regression, the creep of the history. A pull request is judged with the history of its base
# branch, and adds nothing to it: it gets a copy.
history=$report/history.jsonl
if [[ -e $kept/history.jsonl ]]; then
  cp "$kept/history.jsonl" "$history"
fi
read -r -a options <<< "${GATE_LIMITS:-}"
if [[ -n $base && -n ${GATE_MAX_REGRESSION:-} ]]; then
  options+=(--max-regression "$GATE_MAX_REGRESSION" --against "$base")
fi
if [[ -n ${GATE_MAX_CREEP:-} ]]; then
  options+=(--max-creep "$GATE_MAX_CREEP")
fi
idlescope check "$GATE_TRACE" "${options[@]}" --history "$history" --commit "$GATE_COMMIT" \
  --out "$report/trend" > "$report/check.txt" 2> "$report/check.err"
outcome=$?
cat "$report/check.txt" "$report/check.err"

{
  if [[ $outcome -eq 0 ]]; then
    echo "**All limits hold.**"
  elif [[ $outcome -eq 1 ]]; then
    echo "**A limit is broken.**"
  else
    echo "**The recording cannot be checked.**"
  fi
  echo
  sed 's/^/    /' "$report/check.txt" "$report/check.err"
  echo
  if [[ -e $report/trend/trend.md ]]; then
    cat "$report/trend/trend.md"
  fi
} >> "$report/report.md"

# 3. say it: in the summary of the run, and in one comment that is written anew each time
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
  cat "$report/report.md" >> "$GITHUB_STEP_SUMMARY"
fi
if [[ -n $is_pull_request && ${GATE_COMMENT:-true} == true ]]; then
  comments="repos/$GITHUB_REPOSITORY/issues/$is_pull_request/comments"
  earlier=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)
  if [[ -n $earlier ]]; then
    gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$earlier" -F "body=@$report/report.md" > /dev/null
  else
    gh api --method POST "$comments" -F "body=@$report/report.md" > /dev/null
  fi || echo "::warning title=idle-gate::The comment could not be written: the token needs pull-requests: write"
fi

# 4. keep: what a branch recorded is the base of the pull requests to come, also where a limit is broken
keep=false
if [[ -z $is_pull_request && $outcome -le 1 ]]; then
  find "$kept" -mindepth 1 -maxdepth 1 -name 'base*' -exec rm -rf {} +
  name=$(basename "$GATE_TRACE")
  cp -r "$GATE_TRACE" "$kept/base-$name"
  cp "$history" "$kept/history.jsonl"
  keep=true
fi
holds=false
[[ $outcome -eq 0 ]] && holds=true
if [[ -n ${GITHUB_OUTPUT:-} ]]; then
  printf 'holds=%s\nkept=%s\nreport=%s\n' "$holds" "$keep" "$report" >> "$GITHUB_OUTPUT"
fi
exit "$outcome"
