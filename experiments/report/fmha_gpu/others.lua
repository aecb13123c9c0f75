-- The source's own shape, decoding, and what else attention is asked for; and the awkward inputs.
local common = require "lib.report"
local stats = require "lib.stats"
local words = require "report.fmha_gpu.words"

-- The shape of the source's headline: forward, backward, and both together.
local function report_source(report)
  local pass = {}
  for _, record in ipairs(common.trials(report, "source_shape")) do pass[record.problem.pass] = words.speed(record) end
  for name, s in pairs(pass) do
    local refs = { report:ref(s.record) }
    report:value("source_tflops_" .. name, s.tflops, { refs = refs, format = "%.0f", unit = "TFLOP/s" })
    if s.ratio then common.spread(report, "source_" .. name, s, refs, "%.3f") end
  end
  local f, b = pass.forward, pass.backward
  if not (f and b and f.ratio and b.ratio) then return end
  local function both(key) return stats.median(f.record[key]) + stats.median(b.record[key]) end
  report:value("source_both", both("peer_time_ms") / both("time_ms"),
    { refs = { report:ref(f.record), report:ref(b.record) }, format = "%.3f" })
end

-- --- decoding ---

local KEYS = { "decode", "decode_grouped", "decode_one" }

local function decode_key(p)
  return p.batch == 1 and 3 or p.kv_heads < p.heads and 2 or 1
end

local function report_decode(report)
  local trials, copy = common.trials(report, "decode"), common.study(report, "device_copy")
  if #trials == 0 or not copy then return end
  local rate, copy_ref = copy.result.gb_per_s, report:ref(copy)
  report:value("copy_gb_per_s", rate, { refs = { copy_ref }, format = "%.0f", unit = "GB/s" })
  local rows, points, refs, records, theirs = {}, {}, { copy_ref }, {}, {}
  for _, record in ipairs(trials) do
    local s, p, ref, at = words.speed(record), record.problem, report:ref(record), decode_key(record.problem)
    local function speed(ms) return 1e-6 * record.bytes / ms end
    local name = ("%d heads of keys, batch %d"):format(p.kv_heads, p.batch)
    report:value(KEYS[at] .. "_gb_per_s", record.gb_per_s, { refs = { ref }, format = "%.0f", unit = "GB/s" })
    report:value(KEYS[at] .. "_of_copy", record.gb_per_s / rate, { refs = { ref, copy_ref }, format = "%.2f" })
    if s.ratio then common.spread(report, KEYS[at] .. "_ratio", s, { ref }, "%.2f") end
    points[#points + 1] = {
      "ours", at, name, speed(stats.median(record.time_ms)), speed(stats.quantile(record.time_ms, 0.75)),
      speed(stats.quantile(record.time_ms, 0.25)),
    }
    refs[#refs + 1], records[#records + 1] = ref, record
    local peer = record.peer_time_ms
    if peer then
      theirs[#theirs + 1] = {
        "peer", at, name, speed(stats.median(peer)), speed(stats.quantile(peer, 0.75)), speed(stats.quantile(peer, 0.25)),
      }
    end
    rows[#rows + 1] = {
      name, words.heads(p), words.config(record.config), { value = 1e3 * stats.median(record.time_ms), ref = ref },
      { value = record.gb_per_s, ref = ref }, { value = record.gb_per_s / rate, ref = ref },
      s.ratio and { value = s.ratio, ref = ref } or "no peer",
    }
  end
  table.move(theirs, 1, #theirs, #points + 1, points)
  report:table {
    name = "fmha_gpu_decode",
    caption = ("One query against %d keys: what is read of the cache, beside the GPU's own copy (%.0f GB/s) and the peer"):format(
      records[1].problem.kv_len, rate),
    columns = {
      { header = "what", align = "left" }, { header = "heads", align = "left" }, { header = "tile and stages", align = "left" },
      { header = "µs", align = "right", format = "%.0f" }, { header = "GB/s", align = "right", format = "%.0f" },
      { header = "of the copy", align = "right", format = "%.2f" }, { header = "ratio to the peer", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
  local vars = words.figure(report, records)
  vars.copy = rate
  report:figure {
    name = "fmha_gpu_decode",
    columns = {
      { name = "series", type = "text" }, { name = "place", type = "number" }, { name = "what", type = "text" },
      { name = "rate", type = "number" }, { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
    rows = points, series = "series", x = "place", positive = { "rate", "q1", "q3" }, refs = refs, vars = vars,
  }
end

-- --- what else ---

local function tabulate_more(report)
  local rows = {}
  for _, label in ipairs { "source_shape", "more" } do
    for _, record in ipairs(common.trials(report, label)) do
      local s, p, ref = words.speed(record), record.problem, report:ref(record)
      rows[#rows + 1] = {
        p.pass, ("%d × %s of %d"):format(p.batch, words.heads(p), p.head_dim),
        p.varlen and ("up to %d"):format(p.q_len) or words.lengths(p), words.mask(p), p.dtype,
        words.config(record.config), { value = s.tflops, ref = ref },
        s.ratio and { value = s.ratio, ref = ref } or "no peer", { value = record.error_over_bound or 0, ref = ref },
      }
    end
  end
  if #rows == 0 then return end
  report:table {
    name = "fmha_gpu_more",
    caption = "The source's shape, and what else attention is asked for (batch × heads of head_dim)",
    columns = {
      { header = "pass", align = "left" }, { header = "shape", align = "left" }, { header = "length", align = "right" },
      { header = "mask", align = "left" }, { header = "type", align = "left" }, { header = "tile and stages", align = "left" },
      { header = "TFLOP/s", align = "right", format = "%.0f" }, { header = "ratio", align = "right", format = "%.3f" },
      { header = "error over bound", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
end

-- --- awkward inputs ---

-- A row that sees no key, or logits far from one.
local function about_the_floor(p)
  return p.inputs == "large" or p.inputs == "tiny" or p.varlen or (p.causal and p.q_len > p.kv_len)
end

-- How many were right, and of those that the floor is for; each is checked element by element, NaN is wrong.
local function report_edges(report)
  local all, right = { edges = {}, floor_edges = {} }, { edges = 0, floor_edges = 0 }
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "edge" and record.status ~= "refused" then
      for _, name in ipairs(about_the_floor(record.problem) and { "edges", "floor_edges" } or { "edges" }) do
        table.insert(all[name], report:ref(record))
        if record.status == "ok" and record.correct then right[name] = right[name] + 1 end
      end
    end
  end
  for name, refs in pairs(all) do
    if #refs > 0 then
      report:value(name, #refs, { refs = refs, format = "%d" })
      report:value(name .. "_right", right[name], { refs = refs, format = "%d" })
    end
  end
end

return function(report)
  report_source(report)
  report_decode(report)
  tabulate_more(report)
  report_edges(report)
end
