-- How a ladder of kernels climbs, from rung to rung.
local M = {}

local NOISE <const> = 0.02 -- relative; no difference below it is taken for one

-- Each rung beside the one below it, at the largest size that both were run at; ladder[rung][size] = a speed with
-- ratio, q1 and q3 to the peer. A step rises (falls) when its quartiles lie clear above (below) those of the rung below,
-- by more than the noise.
function M.steps(ladder, rungs, sizes)
  local steps = {}
  for i = 2, #rungs do
    for at = #sizes, 1, -1 do
      local below, above = ladder[rungs[i - 1]][sizes[at]], ladder[rungs[i]][sizes[at]]
      if below and above then
        local rises, falls = above.q1 > below.q3 * (1 + NOISE), above.q3 < below.q1 * (1 - NOISE)
        steps[#steps + 1] = {
          rung = rungs[i], size = sizes[at], below = below, above = above,
          outcome = rises and "rising" or falls and "falling" or "level",
        }
        break
      end
    end
  end
  return steps
end

-- How many steps there are and how many of them rise, stay level and fall, as values.
function M.count(report, steps)
  local count, refs, seen = { rising = 0, falling = 0, level = 0 }, {}, {}
  for _, step in ipairs(steps) do
    count[step.outcome] = count[step.outcome] + 1
    for _, s in ipairs { step.below, step.above } do -- a step between two others is compared twice, and cited once
      local ref = report:ref(s.record)
      if not seen[ref] then seen[ref] = true; refs[#refs + 1] = ref end
    end
  end
  report:value("steps", #steps, { refs = refs, format = "%d" })
  for outcome, number in pairs(count) do report:value("steps_" .. outcome, number, { refs = refs, format = "%d" }) end
end

return M
