//! Uploaded files that are not what they say, and files with malware, in front of a scanner that speaks clamd's INSTREAM.

use reqwest::multipart::{Form, Part};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{SECRET, World, problem};

/// The mark of a whole file: field 3, true.
const END: [u8; 2] = [0x18, 1];

/// EICAR's test file, in two halves so that no scanner takes this source for it.
pub fn eicar() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

/// A scanner that finds EICAR's file and nothing else; its address.
pub async fn clamd() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(scanned(stream));
        }
    });
    address
}

async fn scanned(mut stream: TcpStream) -> std::io::Result<()> {
    let mut command = [0; 10];
    stream.read_exact(&mut command).await?;
    assert_eq!(&command, b"zINSTREAM\0");
    let mut file = Vec::new();
    loop {
        let length = stream.read_u32().await?;
        if length == 0 {
            break;
        }
        let mut piece = vec![0; length as usize];
        stream.read_exact(&mut piece).await?;
        file.extend(piece);
    }
    let found = String::from_utf8_lossy(&file).contains(&eicar());
    let said: &[u8] = if found { b"stream: Eicar-Test-Signature FOUND\0" } else { b"stream: OK\0" };
    stream.write_all(said).await
}

async fn send(world: &World, file: impl Into<Vec<u8>>) -> reqwest::Response {
    let part = Part::bytes(file.into()).file_name("usage.csv").mime_str("text/csv").unwrap();
    let form = Form::new().text("dataset", "features").part("file", part);
    world.request("POST", "/v1/usage/uploads").bearer_auth(SECRET).multipart(form).send().await.unwrap()
}

/// Whether a whole file reached the service since the last look.
fn whole(world: &World) -> bool {
    world.asked().iter().any(|(.., bytes)| bytes.ends_with(&END))
}

#[tokio::test]
async fn a_file_that_is_not_what_it_says_is_broken_off() {
    let world = World::new().await;
    let (status, code, _) = problem(send(&world, b"PK\x03\x04 a workbook".repeat(100)).await).await;
    assert_eq!((status, code.as_str()), (415, "content_type_mismatch"));
    assert!(!whole(&world));
}

#[tokio::test]
async fn malware_is_found_and_the_rest_goes_through() {
    let world = World::with(&[format!("--clamd-addr={}", clamd().await)]).await;
    let clean = "external_id,n\n".to_owned() + &"a,1\n".repeat(100_000);
    assert_eq!(send(&world, clean.clone()).await.status(), 200);
    assert!(whole(&world));
    let (status, code, _) = problem(send(&world, clean + &eicar()).await).await;
    assert_eq!((status, code.as_str()), (422, "malware_found"));
    assert!(!whole(&world));
}

#[tokio::test]
async fn a_file_nobody_looked_at_goes_through_only_where_the_settings_say_so() {
    // A port nobody listens on: taken and given back.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::with(&[format!("--clamd-addr={gone}")]).await;
    let (status, code, _) = problem(send(&world, "a,1\n").await).await;
    assert_eq!((status, code.as_str()), (503, "scan_unavailable"));
    assert!(!whole(&world));
    let world = World::with(&[format!("--clamd-addr={gone}"), "--clamd-optional=true".into()]).await;
    assert_eq!(send(&world, "a,1\n").await.status(), 200);
    assert!(whole(&world));
}
