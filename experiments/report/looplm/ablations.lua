-- L6, L7, L9, L10, L11 and L13: formats, parameters, injection, decay, masks, and one batch by heart.
local common = require "lib.report"
local stats = require "lib.stats"
local S = require "report.looplm.shared"

-- Rows of variants against the same plain model, from the same seeds.
local function tabulate_variants(report, name, caption, plain, variants, digits)
  local columns, rows = {
    { header = "", align = "left" }, { header = "seeds", align = "right", format = "%d" },
    { header = "last loss", align = "right", format = "%.3f" },
  }, {}
  for _, n in ipairs(digits) do columns[#columns + 1] = { header = S.count(n, "digit"), align = "right", format = "%.1f" } end
  columns[#columns + 1] = { header = "points more", align = "right", format = "%.1f" }
  columns[#columns + 1] = { header = "from", align = "right", format = "%.1f" }
  columns[#columns + 1] = { header = "to", align = "right", format = "%.1f" }
  for _, variant in ipairs(variants) do
    local records, ref = variant.records, report:ref(variant.records[1])
    local losses, differences = 0, {}
    for _, record in ipairs(records) do
      losses = losses + record.final_loss / #records
      for _, other in ipairs(variant.against or plain) do
        if S.seed_of(other) == S.seed_of(record) then
          local x, n = S.solved(record, "random", digits[2])
          local y, m = S.solved(other, "random", digits[2])
          if x and y then differences[#differences + 1] = 100 * (x / n - y / m) end
        end
      end
    end
    local row = { variant.title, { value = #records, ref = ref }, { value = losses, ref = ref } }
    for _, n in ipairs(digits) do row[#row + 1] = S.cell(report, records, "random", n) end
    local itself = records[1] == (variant.against or plain)[1]
    if not itself and #differences > 0 then
      local mean, low, high = stats.paired(differences)
      variant.mean, variant.low, variant.high = mean, low, high
      row[#row + 1] = { value = mean, ref = ref }
      row[#row + 1] = low and { value = low, ref = ref } or ""
      row[#row + 1] = high and { value = high, ref = ref } or ""
    else
      row[#row + 1], row[#row + 2], row[#row + 3] = "", "", ""
    end
    rows[#rows + 1] = row
  end
  report:table { name = name, caption = caption, columns = columns, rows = rows }
end

local function report_injection(report, plain, digits)
  local function of(positions, inject)
    return S.trials(report, "injection", function(r)
      return r.config.positions == positions and (r.config.inject == true) == inject
    end)
  end
  local rope, none, none_injected = of("rope", true), of("none", false), of("none", true)
  if #rope == 0 or #none == 0 or #none_injected == 0 then return end
  local variants = {
    { title = "rotary positions", records = plain }, { title = "rotary positions, x0 injected", records = rope },
    { title = "no positions", records = none, against = none },
    { title = "no positions, x0 injected", records = none_injected, against = none },
  }
  tabulate_variants(report, "looplm_injection",
    ("Injecting the embedding again before each loop; points more at %d digits than the same without, paired over seeds"):format(digits[2]),
    plain, variants, digits)
  S.put_difference(report, "injection_rope", variants[2], rope)
  S.put_difference(report, "injection_none", variants[4], none_injected)
end

local function report_decay(report, plain, digits)
  local high = S.trials(report, "decay", function(r) return not r.problem.late_weight_decay end)
  local phased = S.trials(report, "decay", function(r) return r.problem.late_weight_decay ~= nil end)
  if #high == 0 or #phased == 0 then return end
  local variants = {
    { title = "low throughout", records = plain }, { title = "high throughout", records = high },
    { title = ("low, high from step %d of %d on"):format(phased[1].problem.late_decay_from, phased[1].problem.steps), records = phased },
  }
  tabulate_variants(report, "looplm_decay",
    ("Weight decay; points more at %d digits than low throughout, paired over seeds"):format(digits[2]), plain, variants, digits)
  S.put_difference(report, "decay_high", variants[2], high)
  S.put_difference(report, "decay_phased", variants[3], phased)
end

-- The wrong format: what is refused, and what it would have shown.
local function report_format(report)
  local refused
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "format" and record.status == "refused" then refused = record end
  end
  local forced = S.trials(report, "format")[1]
  if not forced then return end
  local right, wrong = { 0, 0 }, { 0, 0 }
  local rows, ref = {}, report:ref(forced)
  local by_digits = {}
  for _, test in ipairs(forced.evaluations) do
    local sum = test.wrong_format and wrong or right
    sum[1], sum[2] = sum[1] + test.correct[1], sum[2] + test.problems
    by_digits[test.digits] = by_digits[test.digits] or {}
    by_digits[test.digits][test.wrong_format and "wrong" or "right"] = test.correct[1] / test.problems
  end
  for digits, shares in ipairs(by_digits) do
    rows[#rows + 1] = { { value = digits, ref = ref }, { value = 100 * shares.right, ref = ref }, { value = 100 * shares.wrong, ref = ref } }
  end
  S.value(report, "format_refused", refused and 1 or 0, { refused or forced }, "%d")
  S.value(report, "format_right", 100 * right[1] / right[2], { forced })
  S.value(report, "format_wrong", 100 * wrong[1] / wrong[2], { forced })
  report:table {
    name = "looplm_format", rows = rows,
    caption = "One model, one set of problems, two ways to write them: exact match in %",
    columns = {
      { header = "digits", align = "right", format = "%d" }, { header = "as trained", align = "right", format = "%.1f" },
      { header = "highest digit first", align = "right", format = "%.1f" },
    },
  }
end

-- The entropy barrier: the floor derived, and what training comes to.
local function report_entropy(report)
  local derived, rows = {}, {}
  for _, record in ipairs(S.studies(report, "entropy")) do
    local o = record.options
    local name = (o.protocol == "published" and "published" or o.layout == "packed" and "packed" or "alone")
    derived[name] = record
    local ref = report:ref(record)
    rows[#rows + 1] = {
      ("%s, %s"):format(o.protocol == "published" and "published mix" or ("1 to %d digits"):format(o.most_digits), o.layout == "packed" and "packed" or "one a row"),
      { value = record.result.nats_per_problem, ref = ref }, { value = record.result.tokens_per_problem, ref = ref },
      { value = record.result.floor, ref = ref },
    }
    if name == "published" then S.value(report, "entropy_published", record.result.floor, { record }, "%.3f") end
  end
  report:table {
    name = "looplm_entropy", rows = rows,
    caption = "Where operands are learned too: the entropy of a problem, its tokens, and the floor of the loss, in nats",
    columns = {
      { header = "problems", align = "left" }, { header = "nats a problem", align = "right", format = "%.2f" },
      { header = "tokens a problem", align = "right", format = "%.2f" }, { header = "floor", align = "right", format = "%.3f" },
    },
  }
  local unmasked = S.trials(report, "unmasked", function(r) return r.config.mask_operands == false end)[1]
  local masked = S.trials(report, "unmasked", function(r) return r.config.mask_operands end)[1]
  if not (unmasked and masked) then return end
  S.value(report, "unmasked_loss", unmasked.final_loss, { unmasked }, "%.3f")
  S.value(report, "unmasked_over_floor", unmasked.final_loss - derived.packed.result.floor, { unmasked, derived.packed }, "%.3f")
  S.value(report, "masked_loss", masked.final_loss, { masked }, "%.3f")
  S.value(report, "unmasked_steps", unmasked.problem.steps, { unmasked }, "%d")
end

local LEARNED <const> = 0.1 -- the loss that claim L13 names

local function report_by_heart(report)
  local rows, learned, all = {}, 0, S.trials(report, "by_heart")
  for _, record in ipairs(all) do
    local below
    for step, loss in ipairs(record.losses) do
      if not below and loss < LEARNED then below = step end
    end
    local ref = report:ref(record)
    if below then learned = learned + 1 end
    rows[#rows + 1] = {
      record.config.variant, { value = record.losses[#record.losses], ref = ref },
      below and { value = below, ref = ref } or "never",
    }
  end
  if #all == 0 then return end
  S.value(report, "by_heart_models", #all, all, "%d")
  S.value(report, "by_heart_learned", learned, all, "%d")
  report:table {
    name = "looplm_by_heart", rows = rows,
    caption = ("One batch of %d problems, learned by heart in %d steps: the last loss, and the first step below %g"):format(
      all[1].problem.batch, all[1].problem.steps, LEARNED),
    columns = {
      { header = "model", align = "left" }, { header = "last loss", align = "right", format = "%.2g" },
      { header = ("below %g after"):format(LEARNED), align = "right", format = "%d" },
    },
  }
end

local function report_parameters(report)
  local rows, widths, refs = {}, {}, {}
  for _, record in ipairs(S.studies(report, "parameters")) do
    local r, ref = record.result, report:ref(record)
    rows[#rows + 1] = {
      record.options.variant, { value = r.width, ref = ref }, { value = r.parameters, ref = ref }, { value = r.blocks, ref = ref },
      { value = r.tables, ref = ref },
    }
    if r.layers > 1 then
      S.value(report, ("parameters_gpt_%d"):format(r.width), r.parameters / 1e6, { record }, "%.2f")
      widths[#widths + 1], refs[#refs + 1] = r.width, ref
    end
  end
  if #rows == 0 then return end
  if #widths > 0 then
    local wider = math.max(table.unpack(widths)) / math.min(table.unpack(widths))
    report:value("parameters_wider", wider, { refs = refs, text = math.tointeger(wider) and common.in_words(wider) or ("%.1f"):format(wider) })
  end
  report:table {
    name = "looplm_parameters", rows = rows,
    caption = "Parameters, counted, at the width of the public runs and at the width that the published numbers need",
    columns = {
      { header = "model", align = "left" }, { header = "width", align = "right", format = "%d" },
      { header = "parameters", align = "right", format = "%d" }, { header = "in blocks", align = "right", format = "%d" },
      { header = "in tables", align = "right", format = "%d" },
    },
  }
end

-- What a processor would take too long for.
local function report_refused(report)
  local rows = {}
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "paper_scale" then
      local ref = report:ref(record)
      rows[#rows + 1] = {
        record.asked.variant, record.asked.protocol, { value = record.asked.width, ref = ref },
        { value = record.problem.batch, ref = ref }, { value = record.asked.packed_len, ref = ref },
        { value = record.problem.steps, ref = ref }, record.status == "refused" and "not run" or record.status,
      }
    end
  end
  if #rows == 0 then return end
  report:table {
    name = "looplm_paper_scale", rows = rows,
    caption = "The published configurations, and what became of them here",
    columns = {
      { header = "model", align = "left" }, { header = "protocol", align = "left" },
      { header = "width", align = "right", format = "%d" }, { header = "rows a batch", align = "right", format = "%d" },
      { header = "tokens a row", align = "right", format = "%d" }, { header = "steps", align = "right", format = "%d" },
      { header = "", align = "left" },
    },
  }
end

return function(report)
  report_format(report)
  report_entropy(report)
  report_by_heart(report)
  report_parameters(report)
  report_refused(report)
  local loop = S.models(report).loop
  if not loop then return end
  local plain = loop.records
  local most_digits = plain[1].training.task.most_digits
  local digits = { 1, most_digits, most_digits + 1 }
  report_injection(report, plain, digits)
  report_decay(report, plain, digits)
end
