-- Two threads on a machine that may be somebody else's too. Where neither side gained from the second thread, another
-- program had the core: such a trial says nothing, is asked again a few times, and counts for nothing when that does not
-- help. Either side's gain is enough, so that a kernel which does not scale cannot hide behind this rule.
local M = {}

local ATTEMPTS <const> = 5
local GAIN <const> = 1.2 -- times the speed on one thread

-- Whether there was a second core for the trial `both`. alone: the record of the same on one thread.
function M.second_core(alone, both)
  local theirs = both.peer_gflops and alone.peer_gflops and both.peer_gflops / alone.peer_gflops or 0
  return math.max(both.gflops / alone.gflops, theirs) >= GAIN
end

-- Evaluates `asked`, again under the labels LABEL_2, LABEL_3, ... while there was no second core; returns the last record.
function M.evaluate(run, asked, alone)
  local record
  for attempt = 1, ATTEMPTS do
    local again = {}
    for key, value in pairs(asked) do again[key] = value end
    if attempt > 1 then again.label = ("%s_%d"):format(asked.label, attempt) end
    record = run:evaluate(again)
    if record.status ~= "ok" or alone.status ~= "ok" or M.second_core(alone, record) then break end
  end
  return record
end

return M
