//! Tables and views of whatever has an ODBC driver: Oracle, SQL Server, 达梦, 人大金仓 and others.
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@config`] | the keys of `[source.odbc]` |
//! | `helper` | the process that has the driver |
//! | [`protocol`] | what is said between it and the adapter |
//! | `product` | what differs from database to database |

pub mod config;
mod helper;
mod product;
pub mod protocol;

use std::{io, time::Duration};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::table::{
    Database, Read, Reading, Session,
    offer::{OFFERED, Offer, Told, is_named},
    staging::Cells,
    statement::{Column, Dialect, Statement, Table},
};
use crate::secret;
pub use config::OdbcConfig;
use helper::Helper;
use product::Product;
use protocol::{Answer, Request};

const LOGIN_TIMEOUT_S: u32 = 30;

impl OdbcConfig {
    fn attributes(&self) -> io::Result<Vec<(String, String)>> {
        let mut attributes = vec![("DRIVER".to_owned(), self.driver.clone())];
        attributes.extend(self.connection.clone());
        if let Some(user) = &self.user {
            attributes.push(("UID".to_owned(), user.clone()));
        }
        if let Some(file) = &self.password_file {
            attributes.push(("PWD".to_owned(), secret::read(file)?.as_str().to_owned()));
        }
        Ok(attributes)
    }
}

#[async_trait]
impl Database for OdbcConfig {
    async fn connect(&self, reading: &Reading) -> io::Result<Box<dyn Session>> {
        let connected = async {
            let mut helper = Helper::start(&helper::find(self.helper.as_deref())?)?;
            let request = Request::Connect {
                version: protocol::VERSION,
                attributes: self.attributes()?,
                login_timeout_s: LOGIN_TIMEOUT_S,
                text: self.encoding,
            };
            helper.ask(&request).await?;
            let Answer::Connected { product, quote } = helper.answer().await? else { return Err(another()) };
            let product = Product::of(&product);
            let timeout_s = reading.server_timeout().as_secs();
            let mut session = Odbc { helper, product, quote, timeout_s };
            for text in product.preparation(timeout_s) {
                session.run(Request::Run { text }).await?;
            }
            Ok(session)
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time");
        let patience = Duration::from_secs(u64::from(LOGIN_TIMEOUT_S) + 15);
        let session = tokio::time::timeout(patience, connected).await.map_err(late)??;
        Ok(Box::new(session))
    }

    fn dialect(&self) -> Dialect {
        let product = Product::of(&self.driver);
        Dialect::Odbc { quote: Some('"'), limit: product.limit() }
    }

    fn preparation(&self, reading: &Reading) -> Vec<String> {
        let product = Product::of(&self.driver);
        let mut texts = product.preparation(reading.server_timeout().as_secs());
        texts.extend(product.begin().map(str::to_owned));
        texts.push("SQLColumns: columns and types of the table".to_owned());
        texts
    }
}

fn another() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the helper is of another version than the adapter")
}

/// A session, in a helper of its own.
#[derive(Debug)]
struct Odbc {
    helper: Helper,
    product: Product,
    quote: Option<char>,
    timeout_s: u64,
}

impl Odbc {
    async fn run(&mut self, request: Request) -> io::Result<()> {
        self.helper.ask(&request).await?;
        let answered = tokio::time::timeout(Duration::from_secs(self.timeout_s), self.helper.answer()).await;
        match answered.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"))?? {
            Answer::Ran => Ok(()),
            _ => Err(another()),
        }
    }

    /// An answer of the catalogue.
    async fn catalogue(&mut self, request: Request) -> io::Result<Answer> {
        self.helper.ask(&request).await?;
        let patience = Duration::from_secs(self.timeout_s);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the database's catalogue did not answer in time");
        tokio::time::timeout(patience, self.helper.answer()).await.map_err(late)?
    }

    /// Adds its columns to what is offered.
    async fn describe(&mut self, offer: &mut Offer) -> io::Result<()> {
        let (schema, table) = (offer.table.schema.clone(), offer.table.name.clone());
        let request = Request::Describe { schema, table: table.clone() };
        let Answer::Described(columns) = self.catalogue(request).await? else { return Err(another()) };
        for column in columns.into_iter().filter(|column| column.table == table && !is_binary(column.data_type)) {
            let of_type = self.product.compared_as(compared_as(column.data_type)).to_owned();
            offer.add(Column { name: column.name, of_type }, Told { comment: column.remarks, ..Told::default() });
        }
        if offer.told.iter().any(|told| told.comment.is_some()) { Ok(()) } else { self.comment(offer).await }
    }

    /// What the database says of the columns, where the driver leaves it out.
    async fn comment(&mut self, offer: &mut Offer) -> io::Result<()> {
        let Some((text, schema)) = self.product.comments().zip(offer.table.schema.clone()) else { return Ok(()) };
        let binds = vec![schema, offer.table.name.clone()];
        for cells in self.gather(Statement { text: text.to_owned(), binds, limit: None }).await? {
            let [Some(name), Some(comment)] = &cells[..] else { continue };
            offer.comment(name, comment);
        }
        Ok(())
    }

    /// The few rows of a statement.
    async fn gather(&mut self, statement: Statement) -> io::Result<Vec<Cells>> {
        let (sender, mut receiver) = mpsc::channel::<Vec<Cells>>(4);
        let gathered = async {
            let mut all = Vec::new();
            while let Some(rows) = receiver.recv().await {
                all.extend(rows);
            }
            all
        };
        let (sent, rows) = tokio::join!(self.send(statement, sender), gathered);
        sent.map(|()| rows)
    }

    async fn send(&mut self, statement: Statement, sender: mpsc::Sender<Vec<Cells>>) -> io::Result<()> {
        let Statement { text, binds, limit } = statement;
        self.helper.ask(&Request::Rows { text, binds, limit, timeout_s: self.timeout_s }).await?;
        loop {
            match self.helper.answer().await? {
                Answer::Rows(rows) => {
                    if sender.send(rows).await.is_err() {
                        return Ok(());
                    }
                }
                Answer::End => return Ok(()),
                _ => return Err(another()),
            }
        }
    }
}

/// What values of a type are compared as (the numbers of `sql.h` and `sqlext.h`).
fn compared_as(data_type: i16) -> &'static str {
    match data_type {
        2..=8 | -7..=-5 => "number",
        9..=11 | 91..=93 => "time",
        _ => "text",
    }
}

/// SQL_BINARY, SQL_VARBINARY, SQL_LONGVARBINARY.
fn is_binary(data_type: i16) -> bool {
    (-4..=-2).contains(&data_type)
}

#[async_trait]
impl Session for Odbc {
    fn dialect(&self) -> Dialect {
        Dialect::Odbc { quote: self.quote, limit: self.product.limit() }
    }

    async fn tables(&mut self, schema: Option<&str>, table: &str) -> io::Result<Vec<Table>> {
        let request = Request::Describe { schema: schema.map(str::to_owned), table: table.to_owned() };
        let Answer::Described(columns) = self.catalogue(request).await? else { return Err(another()) };
        let mut tables: Vec<Table> = Vec::new();
        for column in columns {
            let of_type = self.product.compared_as(compared_as(column.data_type)).to_owned();
            let described = Column { name: column.name, of_type };
            let schema = column.schema.filter(|schema| !schema.is_empty());
            match tables.iter_mut().find(|table| table.name == column.table && table.schema == schema) {
                Some(table) => table.columns.push(described),
                None => tables.push(Table { schema, name: column.table, columns: vec![described] }),
            }
        }
        Ok(tables)
    }

    async fn offers(&mut self, schema: Option<&str>, named: &[String]) -> io::Result<Vec<Offer>> {
        let Answer::Offered(tables) = self.catalogue(Request::Offer { schema: schema.map(str::to_owned) }).await?
        else {
            return Err(another());
        };
        let own = |table: &protocol::Offered| self.product.is_system(table.schema.as_deref().unwrap_or_default());
        let tables: Vec<_> = tables.into_iter().filter(|table| !own(table) && is_named(&table.name, named)).collect();
        // More than are looked at are told, but not one by one.
        let few = tables.len() <= OFFERED;
        let mut offers = Vec::new();
        for table in tables {
            let schema = table.schema.filter(|schema| !schema.is_empty());
            let mut offer = Offer::new(schema, table.name, table.remarks);
            if few {
                self.describe(&mut offer).await?;
            }
            offers.push(offer);
        }
        Ok(offers)
    }

    async fn begin(&mut self) -> io::Result<()> {
        self.run(Request::Begin { text: self.product.begin().map(str::to_owned) }).await
    }

    async fn end(&mut self) -> io::Result<()> {
        self.run(Request::End).await
    }

    fn rows(&mut self, statement: Statement, sender: mpsc::Sender<Vec<Cells>>) -> Read<'_> {
        Box::pin(self.send(statement, sender))
    }

    async fn rights(&mut self, table: &Table) -> io::Result<Option<Vec<String>>> {
        let dialect = self.dialect();
        let Some(text) = self.product.rights(&dialect, table)? else { return Ok(None) };
        let statement = Statement { text, binds: Vec::new(), limit: Some(6) };
        let rows = self.gather(statement).await?;
        Ok(Some(rows.into_iter().filter_map(|cells| cells.into_iter().next().flatten()).collect()))
    }
}
