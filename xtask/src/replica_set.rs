//! The little of MongoDB's wire protocol (OP_MSG) that makes a fresh `mongod` a replica set of one: no shell and no
//! driver is needed for three commands.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bson::{Document, doc};

/// Whether the server on this port is a primary that takes writes.
pub fn is_primary(port: u16) -> bool {
    command(port, doc! { "hello": 1, "$db": "admin" })
        .is_ok_and(|r| r.get_bool("isWritablePrimary").unwrap_or(false))
}

/// Makes the server a replica set of one under this port; a set whose stored name has another port is renamed.
pub fn initiate(port: u16) -> Result<()> {
    let host = format!("127.0.0.1:{port}");
    let config = doc! { "_id": "rs0", "version": 1, "members": [{ "_id": 0, "host": &host }] };
    let reply = command(port, doc! { "replSetInitiate": config, "$db": "admin" })?;
    // 23: it is one already, under the port it had then.
    if reply.get_i32("code").unwrap_or(0) != 23 {
        return checked(reply).map(|_| ());
    }
    let mut stored = checked(command(port, doc! { "replSetGetConfig": 1, "$db": "admin" })?)?
        .get_document("config")?
        .clone();
    let member = stored
        .get_array("members")?
        .first()
        .and_then(|m| m.as_document())
        .context("the set has no member")?;
    if member.get_str("host").is_ok_and(|stored| stored == host) {
        return Ok(());
    }
    let version = stored.get_i32("version").unwrap_or(1) + 1;
    stored.insert("version", version);
    stored.insert("members", vec![doc! { "_id": 0, "host": &host }]);
    checked(command(port, doc! { "replSetReconfig": stored, "force": true, "$db": "admin" })?).map(|_| ())
}

fn checked(reply: Document) -> Result<Document> {
    let ok = reply.get("ok").is_some_and(|v| v.as_f64() == Some(1.0) || v.as_i32() == Some(1));
    if !ok {
        bail!("mongod refused: {}", reply.get_str("errmsg").unwrap_or("no reason given"));
    }
    Ok(reply)
}

/// Sends one command and reads its answer.
fn command(port: u16, command: Document) -> Result<Document> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = command.to_vec()?;
    let length = i32::try_from(16 + 4 + 1 + body.len())?;
    let mut message = Vec::with_capacity(body.len() + 21);
    for word in [length, 1, 0, 2013, 0] {
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    stream.write_all(&message)?;

    let mut head = [0_u8; 21];
    stream.read_exact(&mut head)?;
    let size = i32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let mut reply = vec![0_u8; usize::try_from(size)?.saturating_sub(21)];
    stream.read_exact(&mut reply)?;
    Ok(Document::from_reader(reply.as_slice())?)
}
