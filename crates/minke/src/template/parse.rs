//! Reads a template's pieces into a syntax tree, by recursive descent.

use super::{
    TemplateError,
    functions::FUNCTIONS,
    lex::{self, Piece, Token},
    syntax::{Base, Block, BlockKind, Command, Node, Operand, Pipeline},
};

/// Parentheses and blocks deeper than this are refused, so that a hostile template can't use up the stack.
const MAX_DEPTH: usize = 100;

/// The whole template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut pieces = lex::pieces(text)?.into_iter();
    let (nodes, ending) = nodes(&mut pieces, 0)?;
    match ending {
        Ending::Text => Ok(nodes),
        Ending::End(line) => Err(error(line, "unexpected {{end}}")),
        Ending::Else(_, line) => Err(error(line, "unexpected {{else}}")),
    }
}

/// What stopped a list of nodes.
enum Ending {
    /// The template's end.
    Text,
    /// `{{end}}` on this line.
    End(usize),
    /// `{{else}}` with the tokens that follow the word.
    Else(Vec<Token>, usize),
}

fn error(line: usize, problem: impl std::fmt::Display) -> TemplateError {
    TemplateError::new(format!(":{line}: {problem}"))
}

fn nodes<'a>(
    pieces: &mut impl Iterator<Item = Piece<'a>>,
    depth: usize,
) -> Result<(Vec<Node>, Ending), TemplateError> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let (action, line) = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text.to_owned()));
                continue;
            }
            Piece::Action(action, line) => (action, line),
        };
        if depth > MAX_DEPTH {
            return Err(error(line, "blocks nested too deeply"));
        }
        let tokens = lex::tokens(action, line)?;
        let keyword = match tokens.first() {
            None => return Err(error(line, "missing value for command")),
            Some(Token::Word(word)) => word.as_str(),
            Some(_) => "",
        };
        match keyword {
            "end" => return Ok((nodes, Ending::End(line))),
            "else" => return Ok((nodes, Ending::Else(tokens[1..].to_vec(), line))),
            "if" | "with" | "range" => {
                nodes.push(Node::Block(block(&tokens, line, pieces, depth)?));
            }
            "define" | "template" | "block" | "break" | "continue" => {
                return Err(error(line, format!("{{{{{keyword}}}}} is not supported by minke")));
            }
            _ => nodes.push(Node::Action(Parser::all(&tokens, line)?)),
        }
    }
    Ok((nodes, Ending::Text))
}

/// A block whose first action has been read: `tokens` starts with its keyword.
fn block<'a>(
    tokens: &[Token],
    line: usize,
    pieces: &mut impl Iterator<Item = Piece<'a>>,
    depth: usize,
) -> Result<Block, TemplateError> {
    let (kind, name) = match &tokens[0] {
        Token::Word(word) if word == "if" => (BlockKind::If, "if"),
        Token::Word(word) if word == "with" => (BlockKind::With, "with"),
        _ => (BlockKind::Range, "range"),
    };
    if tokens.len() == 1 {
        return Err(error(line, format!("missing value for {name}")));
    }
    let pipeline = Parser::all(&tokens[1..], line)?;
    if kind != BlockKind::Range && pipeline.variables.len() > 1 {
        return Err(error(line, format!("too many declarations in {name}")));
    }
    let (body, ending) = nodes(pieces, depth + 1)?;
    let otherwise = match ending {
        Ending::Text => {
            return Err(error(line, format!("unexpected EOF: {{{{{name}}}}} without {{{{end}}}}")));
        }
        Ending::End(_) => Vec::new(),
        Ending::Else(tokens, line) if tokens.is_empty() => match nodes(pieces, depth + 1)? {
            (otherwise, Ending::End(_)) => otherwise,
            _ => return Err(error(line, "expected {{end}} after {{else}}")),
        },
        Ending::Else(tokens, line) => match tokens.first() {
            // `{{else if}}` shares the outer `{{end}}`.
            Some(Token::Word(word)) if matches!(word.as_str(), "if" | "with") => {
                vec![Node::Block(block(&tokens, line, pieces, depth + 1)?)]
            }
            _ => return Err(error(line, "unexpected token after {{else}}")),
        },
    };
    Ok(Block { kind, pipeline, body, otherwise })
}

/// Reads pipelines out of tokens.
struct Parser<'a> {
    tokens: &'a [Token],
    line: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// A pipeline that uses up all tokens.
    fn all(tokens: &'a [Token], line: usize) -> Result<Pipeline, TemplateError> {
        let mut parser = Self { tokens, line, depth: 0 };
        let pipeline = parser.pipeline()?;
        match parser.tokens.first() {
            None => Ok(pipeline),
            Some(token) => Err(parser.error(format!("unexpected {token:?}"))),
        }
    }

    fn error(&self, problem: impl std::fmt::Display) -> TemplateError {
        error(self.line, problem)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn pipeline(&mut self) -> Result<Pipeline, TemplateError> {
        let (variables, declares) = self.declaration();
        let mut commands = vec![self.command()?];
        while self.tokens.first() == Some(&Token::Pipe) {
            self.next();
            commands.push(self.command()?);
        }
        Ok(Pipeline { variables, declares, commands, line: self.line })
    }

    /// `$a :=`, `$a =`, `$a, $b :=`; nothing is consumed otherwise.
    fn declaration(&mut self) -> (Vec<String>, bool) {
        let (names, rest) = match self.tokens {
            [Token::Variable(a), Token::Comma, Token::Variable(b), rest @ ..] => (vec![a, b], rest),
            [Token::Variable(a), rest @ ..] => (vec![a], rest),
            _ => return (Vec::new(), false),
        };
        let declares = match rest.first() {
            Some(Token::Declare) => true,
            Some(Token::Assign) => false,
            _ => return (Vec::new(), false),
        };
        self.tokens = &rest[1..];
        (names.into_iter().cloned().collect(), declares)
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        while !matches!(self.tokens.first(), None | Some(Token::Pipe | Token::Close)) {
            operands.push(self.operand()?);
        }
        if operands.is_empty() {
            return Err(self.error("missing value for command"));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let mut fields = Vec::new();
        let base = match self.next() {
            Some(Token::Dot) => Base::Dot,
            Some(Token::Field(name, _)) => {
                fields.push(name.clone());
                Base::Dot
            }
            Some(Token::Variable(name)) => Base::Variable(name.clone()),
            Some(Token::Literal(value)) => Base::Literal(value.clone()),
            Some(Token::Word(name)) if FUNCTIONS.contains(&name.as_str()) => Base::Function(name.clone()),
            Some(Token::Word(name)) => return Err(self.error(format!("function {name:?} not defined"))),
            Some(Token::Open) => Base::Parenthesized(Box::new(self.parenthesized()?)),
            Some(token) => return Err(self.error(format!("unexpected {token:?} in operand"))),
            None => return Err(self.error("missing operand")),
        };
        while let Some(Token::Field(name, true)) = self.tokens.first() {
            fields.push(name.clone());
            self.next();
        }
        Ok(Operand { base, fields })
    }

    fn parenthesized(&mut self) -> Result<Pipeline, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("parentheses nested too deeply"));
        }
        let pipeline = self.pipeline()?;
        self.depth -= 1;
        match self.next() {
            Some(Token::Close) => Ok(pipeline),
            _ => Err(self.error("unclosed left paren")),
        }
    }
}
