//! Requests and answers, as a table. docs/protocol.md, "HTTP".

use crate::support::*;

/// `method path | headers | body => status`, without a member's signature.
const ROWS: &str = "
GET     /                                       |                         | => 404
GET     /v1                                     |                         | => 404
GET     /v1/box                                 |                         | => 200
GET     /v1/box?x=y                             |                         | => 400
GET     /v1/box?                                |                         | => 400
POST    /v1/windows/500000/release?x            |                         | => 400
GET     /log/checkpoint?x                       |                         | => 400
POST    /v1/drops?x                             |                         | => 400
GET     /nothing?x                              |                         | => 400
GET     /v1/box/                                |                         | => 404
GET     /v1/box/1                               |                         | => 200
GET     /v1/box/2                               |                         | => 404
GET     /v1/box/01                              |                         | => 404
GET     /v1/box/x                               |                         | => 404
GET     /v1/box/%31                             |                         | => 404
POST    /v1/box                                 |                         | => 405
PUT     /v1/box                                 |                         | => 400
PUT     /v1/box                                 |                         | {} => 400
PUT     /v1/box                                 |                         | {\"roster\":\"\",\"policy\":\"\"} => 403
PUT     /v1/box                                 |                         | {\"roster\":\"\",\"policy\":\"\",\"x\":1} => 400
GET     /v1/drops                               |                         | => 405
DELETE  /v1/drops                               |                         | => 405
POST    /v1/drops                               |                         | => 422
POST    /v1/drops                               |                         | x => 422
POST    /v1/uploads                             |                         | => 400
POST    /v1/uploads                             | Upload-Length: 67195    | => 400
POST    /v1/uploads                             | Upload-Length: 67196; Upload-Complete: ?0 | => 422
POST    /v1/uploads                             | Upload-Length: 99999999; Upload-Complete: ?0 | => 413
POST    /v1/uploads                             | Upload-Length: 067195; Upload-Complete: ?0 | => 400
POST    /v1/uploads                             | Upload-Length: 67195; Upload-Complete: ?1 | => 400
POST    /v1/uploads                             | Upload-Length: 67195; Upload-Length: 67195; Upload-Complete: ?0 | => 400
POST    /v1/uploads                             | Upload-Length: 67195; Upload-Complete: ?0 | x => 400
POST    /v1/uploads                             | Upload-Length: 67195; Upload-Complete: ?0 | => 201
GET     /v1/uploads/00112233445566778899aabbccddeeff |                    | => 405
HEAD    /v1/uploads/00112233445566778899aabbccddeeff |                    | => 404
HEAD    /v1/uploads/x                           |                         | => 404
DELETE  /v1/uploads/00112233445566778899aabbccddeeff |                    | => 404
PATCH   /v1/uploads/00112233445566778899aabbccddeeff |                    | => 404
GET     /v1/windows                             |                         | => 401
GET     /v1/windows                             | Sealdrop-Request: x     | => 401
GET     /v1/windows/500000/drops                |                         | => 401
GET     /v1/windows/x/drops                     |                         | => 401
GET     /v1/windows/500000/drops/00             |                         | => 401
POST    /v1/windows/500000/release              |                         | => 401
GET     /v1/windows/500000/release              |                         | => 405
GET     /log/vkey                               |                         | => 200
GET     /log/checkpoint                         |                         | => 200
GET     /log/tile/0/000                         |                         | => 404
GET     /log/tile/0/000.p/1                     |                         | => 404
GET     /log/tile/x/000                         |                         | => 404
GET     /log/tile/0                             |                         | => 404
GET     /log/tile/0/../../v1/box                |                         | => 404
GET     /log/tile/entries/000                   |                         | => 401
POST    /log/cosign                             |                         | => 401
POST    /log/cosign                             |                         | x => 401
GET     /log/cosign                             |                         | => 405
GET     /log/cosigned                           |                         | => 200
GET     /healthz                                |                         | => 404
BREW    /v1/box                                 |                         | => 405
GET     /v1/box                                 | Content-Length: 0       | => 200
GET     /v1/box                                 | Content-Length: x       | => 400
GET     /v1/box                                 | Transfer-Encoding: chunked | => 411
GET     /v1/box                                 | If-None-Match: *; Cookie: a=b; Accept-Encoding: gzip | => 200
";

#[tokio::test]
async fn requests_have_the_answers_of_the_protocol() {
    let world = World::new().await;
    for row in ROWS.lines().filter(|row| !row.is_empty()) {
        let (request, status) = row.rsplit_once("=>").unwrap();
        let mut parts = request.splitn(3, '|').map(str::trim);
        let (method, path) = parts.next().unwrap().split_once(' ').unwrap();
        let headers: Vec<_> = parts
            .next()
            .unwrap()
            .split("; ")
            .filter_map(|header| header.split_once(": "))
            .collect();
        let reply = send(
            world.addr(),
            method,
            path.trim(),
            &headers,
            parts.next().unwrap().as_bytes(),
        )
        .await;
        assert_eq!(reply.status.to_string(), status.trim(), "{row}\n{reply:?}");
        check_answer(&reply, method);
    }
}

/// What holds for every answer.
#[track_caller]
fn check_answer(reply: &Reply, method: &str) {
    // Each of these would mark a client, or tell of the server.
    for header in [
        "set-cookie",
        "etag",
        "last-modified",
        "location",
        "server",
        "vary",
    ] {
        assert!(
            reply.header(header).is_none() || (header == "location" && reply.status == 201),
            "{reply:?}"
        );
    }
    assert!(
        reply.header("cache-control").is_some() || reply.status == 400,
        "{reply:?}"
    );
    if reply.status >= 400 && method != "HEAD" && reply.header("content-type").is_some() {
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        let problem = reply.json();
        assert_eq!(problem["status"], reply.status);
        assert_eq!(problem.as_object().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn without_a_roster_there_is_no_box_and_no_drop() {
    let mut world = World::still(1);
    world.start().await;
    assert_eq!(world.get("/v1/box").await.status, 404);
    let reply = world.post("/v1/drops", &small(1)).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(world.member("GET", "/v1/windows", b"").await.status, 401);
    let checkpoint = world.get("/log/checkpoint").await.text();
    assert_eq!(checkpoint.lines().nth(1), Some("0"));
}

#[tokio::test]
async fn errors_and_answers_hold_nothing_of_the_request() {
    let world = World::new().await;
    let marker = "0123456789canary";
    let headers = [
        ("X-Canary", marker),
        ("User-Agent", marker),
        ("Sealdrop-Request", marker),
    ];
    for path in [
        "/v1/box",
        "/v1/windows",
        "/nothing",
        "/v1/windows/0123456789canary/drops",
    ] {
        let reply = send(world.addr(), "GET", path, &headers, b"").await;
        assert!(
            !format!(
                "{:?} {}",
                reply.headers,
                String::from_utf8_lossy(&reply.body)
            )
            .contains(marker),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn health_is_on_the_operators_listener_alone() {
    let world = World::with(1, |config| {
        config.ops_listen = Some("127.0.0.1:0".parse().unwrap())
    })
    .await;
    let ops = world.running.as_ref().unwrap().ops.unwrap();
    let reply = send(ops, "GET", "/healthz", &[], b"").await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(send(ops, "GET", "/v1/box", &[], b"").await.status, 404);
}
