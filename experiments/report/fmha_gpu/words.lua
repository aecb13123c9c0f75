-- How the tables and figures of FMHA on the GPU name a trial, and what they all ask of it.
local common = require "lib.report"
local stats = require "lib.stats"

local M = {}

-- The speed of a trial, of the operations that it counted by the usual rule. With its quartiles in TFLOP/s.
function M.speed(record)
  local s = common.speed(record, record.flop)
  local function tflops(ms) return 1e-9 * record.flop / ms end
  s.tflops = tflops(stats.median(record.time_ms))
  s.slow, s.fast = tflops(stats.quantile(record.time_ms, 0.75)), tflops(stats.quantile(record.time_ms, 0.25))
  common.must_agree(record, "tflops", record.tflops, s.tflops)
  return s
end

function M.mask(p)
  if p.window >= 0 then return ("window of %d"):format(p.window) end
  return p.causal and "causal" or "none"
end

function M.heads(p)
  return p.kv_heads == p.heads and ("%d"):format(p.heads) or ("%d over %d"):format(p.heads, p.kv_heads)
end

function M.lengths(p)
  return p.q_len == p.kv_len and ("%d"):format(p.q_len) or ("%d to %d"):format(p.q_len, p.kv_len)
end

function M.config(c)
  local list = { ("%d×%d"):format(c.tile_m, c.tile_n) }
  if c.k_stages then
    local same = c.k_stages == c.v_stages
    list[#list + 1] = same and ("%d stages"):format(c.k_stages) or ("%d and %d stages"):format(c.k_stages, c.v_stages)
  end
  if (c.pack or 1) > 1 then list[#list + 1] = ("%d heads a tile"):format(c.pack) end
  if (c.slices or 1) > 1 then list[#list + 1] = ("%d slices"):format(c.slices) end
  return table.concat(list, ", ")
end

-- "64_causal_2048", as the names of values have it.
function M.key(p) return ("%d_%s_%d"):format(p.head_dim, p.causal and "causal" or "full", p.q_len) end

-- The variables that the figures share; records: the trials of the figure.
function M.figure(report, records)
  local peer
  for _, record in ipairs(records) do peer = peer or record.peer end
  return {
    peer = peer and peer:match("^%a+") or "peer", machine = report.hw.name or report.hw.id,
    measured = common.measured(report, records),
  }
end

-- Geometric mean and extremes of a list of { ratio, refs }, as values NAME_geomean, _least, _most, _count.
function M.summarise(report, name, list)
  local log_sum, least, most, refs = 0, math.huge, 0, {}
  for _, one in ipairs(list) do
    log_sum, least, most = log_sum + math.log(one.ratio), math.min(least, one.ratio), math.max(most, one.ratio)
    for _, ref in ipairs(one.refs) do refs[#refs + 1] = ref end
  end
  if #list == 0 then return end
  report:value(name .. "_geomean", math.exp(log_sum / #list), { refs = refs, format = "%.3f" })
  report:value(name .. "_least", least, { refs = refs, format = "%.3f" })
  report:value(name .. "_most", most, { refs = refs, format = "%.3f" })
  report:value(name .. "_count", #list, { refs = refs, format = "%d" })
end

return M
