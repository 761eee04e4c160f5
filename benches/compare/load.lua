-- Requests for wrk, by the environment. KIND is same (one request), new (each another one, numbered from START on), known
-- (any of the first PROMPTS of those), or zipf (10,000 of them, as often as words are used). BYTES is the size of the
-- prompt; SEED keeps the requests of one run from those of another.
local kind, bytes, seed = os.getenv("KIND"), tonumber(os.getenv("BYTES")), os.getenv("SEED") or "0"
local start, count = tonumber(os.getenv("START") or "0"), tonumber(os.getenv("PROMPTS") or "10000")

-- A prompt as people and programs write them: a role, a task, rules, data.
local paragraph = [[You are the assistant of a small library by the sea. Answer the reader's question in two or three sentences.\n\n## Rules\n\n- Name the book's title and its author.\n- Say where it stands: the hall, the shelf and the number.\n- If the library does not have it, say so, and name one that is near to it.\n\n## Catalogue\n\n| title | author | hall | shelf |\n|---|---|---|---|\n| The Tides | M. Orr | east | 12 |\n| Nets and Knots | P. Vane | west | 3 |\n| Letters from the Pier | A. Lund | east | 4 |\n\nThe reader has been here twice this month and likes long evenings, stories of weather, and maps that fold. ]]
local text = string.rep(paragraph, math.ceil(bytes / #paragraph)):sub(1, bytes - 200)
text = text:gsub("\\$", "")
local head = '{"model":"bare","temperature":0.2,"messages":[{"role":"system","content":"' .. text .. '"},{"role":"user","content":"Which book is meant by number '
local tail = ', and where does it stand?"}]}'

wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
-- As the SDKs do: whoever takes compressed answers gets them.
if os.getenv("GZIP") == "1" then wrk.headers["Accept-Encoding"] = "gzip, deflate" end

if kind == "same" then
    wrk.body = head .. "one" .. tail
elseif kind == "new" then
    local number = start
    request = function()
        number = number + 1
        return wrk.format(nil, nil, nil, head .. seed .. "-" .. number .. tail)
    end
elseif kind == "known" then
    math.randomseed(os.time())
    request = function()
        return wrk.format(nil, nil, nil, head .. seed .. "-" .. math.random(count) .. tail)
    end
else
    math.randomseed(tonumber(seed) or 0)
    local sums, sum = {}, 0
    for rank = 1, count do
        sum = sum + 1 / rank
        sums[rank] = sum
    end
    request = function()
        local wanted, low, high = math.random() * sum, 1, count
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < wanted then low = middle + 1 else high = middle end
        end
        return wrk.format(nil, nil, nil, head .. low .. tail)
    end
end

done = function(summary)
    local errors = summary.errors
    local bad = errors.connect + errors.read + errors.write + errors.timeout + errors.status
    -- wrk calls every status from 400 on an error.
    io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration, bad))
end
