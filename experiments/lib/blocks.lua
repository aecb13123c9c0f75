-- Blocks of a system's meaning as tables, for recipes that read many of them.
local M = {}

-- The entries of a block as a table, words as texts; later ones of the same key win.
function M.fields(block)
  local fields = {}
  for _, item in ipairs(block.body) do
    local word = type(item.value) == "table" and item.value.word
    if item.key then fields[item.key] = word or item.value end
  end
  return fields
end

-- All blocks of a kind among the children of `parent`, in their order.
function M.all(parent, kind)
  local list = {}
  for _, item in ipairs(parent.body) do
    if item.kind == kind then list[#list + 1] = item end
  end
  return list
end

return M
