-- Order statistics of a list of numbers.
local M = {}

-- The q-quantile, 0 <= q <= 1, with linear interpolation between neighbours.
function M.quantile(list, q)
  local sorted = {}
  for i, x in ipairs(list) do sorted[i] = x end
  table.sort(sorted)
  local at = 1 + q * (#sorted - 1)
  local below = math.floor(at)
  local above = math.min(below + 1, #sorted)
  return sorted[below] + (at - below) * (sorted[above] - sorted[below])
end

function M.median(list) return M.quantile(list, 0.5) end

-- Sample by sample a[i] / b[i].
function M.quotients(a, b)
  local q = {}
  for i = 1, math.min(#a, #b) do q[i] = a[i] / b[i] end
  return q
end

return M
